// Why a handshake failed, in the shape that Envoy's users know: `TLS_error:|268435703:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER:TLS_error_end`.

/** What Node adds to an error of OpenSSL. */
interface OpenSslError extends Error {
  readonly code?: string;
  readonly library?: string;
  readonly reason?: string;
}

/** BoringSSL's numbers of the reasons that handshakes usually fail for. Alerts are 1000 and their number in both libraries. */
const reasonNumbers: Readonly<Record<string, number>> = {
  BAD_DECRYPT: 107,
  CERTIFICATE_VERIFY_FAILED: 125,
  CLIENTHELLO_PARSE_FAILED: 131,
  DECRYPTION_FAILED_OR_BAD_RECORD_MAC: 130,
  HANDSHAKE_FAILURE_ON_CLIENT_HELLO: 154,
  HTTPS_PROXY_REQUEST: 155,
  HTTP_REQUEST: 156,
  INAPPROPRIATE_FALLBACK: 157,
  INVALID_ALPN_PROTOCOL: 280,
  KEY_USAGE_BIT_INCORRECT: 302,
  NO_COMMON_SIGNATURE_ALGORITHMS: 253,
  NO_RENEGOTIATION: 182,
  NO_SHARED_CIPHER: 184,
  NO_SHARED_GROUP: 266,
  PEER_DID_NOT_RETURN_A_CERTIFICATE: 192,
  PROTOCOL_IS_SHUTDOWN: 194,
  UNEXPECTED_MESSAGE: 223,
  UNEXPECTED_RECORD: 225,
  UNSUPPORTED_PROTOCOL: 240,
  WRONG_VERSION_NUMBER: 247,
};

const alerts: Readonly<Record<string, number>> = {
  UNEXPECTED_MESSAGE: 10,
  BAD_RECORD_MAC: 20,
  RECORD_OVERFLOW: 22,
  DECOMPRESSION_FAILURE: 30,
  HANDSHAKE_FAILURE: 40,
  NO_CERTIFICATE: 41,
  BAD_CERTIFICATE: 42,
  UNSUPPORTED_CERTIFICATE: 43,
  CERTIFICATE_REVOKED: 44,
  CERTIFICATE_EXPIRED: 45,
  CERTIFICATE_UNKNOWN: 46,
  ILLEGAL_PARAMETER: 47,
  UNKNOWN_CA: 48,
  ACCESS_DENIED: 49,
  DECODE_ERROR: 50,
  DECRYPT_ERROR: 51,
  PROTOCOL_VERSION: 70,
  INSUFFICIENT_SECURITY: 71,
  INTERNAL_ERROR: 80,
  INAPPROPRIATE_FALLBACK: 86,
  USER_CANCELLED: 90,
  NO_RENEGOTIATION: 100,
  UNSUPPORTED_EXTENSION: 110,
  UNRECOGNIZED_NAME: 112,
  BAD_CERTIFICATE_STATUS_RESPONSE: 113,
  BAD_CERTIFICATE_HASH_VALUE: 114,
  UNKNOWN_PSK_IDENTITY: 115,
  CERTIFICATE_REQUIRED: 116,
  NO_APPLICATION_PROTOCOL: 120,
};

/** OpenSSL says it in other words. */
const renamed: Readonly<Record<string, string>> = {
  NO_SUITABLE_SIGNATURE_ALGORITHM: 'NO_COMMON_SIGNATURE_ALGORITHMS',
  NO_SUITABLE_KEY_SHARE: 'NO_SHARED_GROUP',
  NO_SUITABLE_GROUPS: 'NO_SHARED_GROUP',
  VERSION_TOO_LOW: 'UNSUPPORTED_PROTOCOL',
};

const details: Readonly<Record<string, string>> = {
  PEER_DID_NOT_RETURN_A_CERTIFICATE: 'peer did not provide required client certificate',
};

/** Undefined for errors of the socket: a reset, a broken pipe. */
export function tlsErrorReason(error: Error): string | undefined {
  const { reason, code = '' } = error as OpenSslError;
  if (!code.startsWith('ERR_SSL_') && !code.startsWith('ERR_OSSL_') && reason === undefined) return undefined;
  const spelled = (reason ?? code.replace(/^ERR_(?:SSL|OSSL)_/, '')).toUpperCase().replaceAll(' ', '_');
  const alert = alertName.exec(spelled)?.[1];
  const number = alert === undefined ? undefined : alerts[alert];
  if (number !== undefined) return `${number <= lastOfSsl3 ? 'SSLV3' : 'TLSV1'}_ALERT_${alert}`;
  return renamed[spelled] ?? spelled;
}

/** OpenSSL has said it in several ways. */
const alertName = /^(?:TLSV\d+|SSLV3|SSL\/TLS)(?:_ALERT)?_(.*)$/;

/** BoringSSL names an alert by the protocol that it came with. */
const lastOfSsl3 = 47;

/** `detail` is what a verifier has to add: `verify cert failed: ...`. */
export function tlsErrorText(reason: string, detail = ''): string {
  const more = detail === '' ? (details[reason] ?? '') : detail;
  return `TLS_error:${oneError(reason)}${more === '' ? '' : `:${more}`}:TLS_error_end`;
}

/** What BoringSSL says of first bytes in which tls_inspector finds no ClientHello, in the form for logs. */
export function inspectionFailureText(bytes: Buffer): string {
  const start = bytes.toString('latin1', 0, 5);
  if (/^(?:GET |POST |HEAD |PUT )/.test(start)) return inspectionText('HTTP_REQUEST');
  if (start === 'CONNE') return inspectionText('HTTPS_PROXY_REQUEST');
  const [type, major] = bytes;
  if (major !== 3) return inspectionText('WRONG_VERSION_NUMBER');
  const alert = type === 21 && bytes[5] === 2 ? bytes[6] : undefined;
  const name = Object.keys(alerts).find((it) => alerts[it] === alert);
  if (name !== undefined)
    return inspectionText(`${alert! <= lastOfSsl3 ? 'SSLV3' : 'TLSV1'}_ALERT_${name}`, 1000 + alert!);
  if (type !== 22) return inspectionText('UNEXPECTED_RECORD');
  return inspectionText(bytes[5] === 1 ? 'CLIENTHELLO_PARSE_FAILED' : 'UNEXPECTED_MESSAGE');
}

function inspectionText(reason: string, number: number = reasonNumbers[reason]!): string {
  return `TLS_error|error:${(0x10000000 + number).toString(16)}:SSL_routines:OPENSSL_internal:${reason}:TLS_error_end`;
}

/** The peer broke the connection off. */
export const tlsResetText =
  'TLS_error:|33554536:system library:OPENSSL_internal:Connection reset by peer:TLS_error_end';

/** What BoringSSL adds when a server answers a ClientHello with `handshake_failure`. */
export function refusedHelloText(): string {
  const both = oneError('SSLV3_ALERT_HANDSHAKE_FAILURE') + oneError('HANDSHAKE_FAILURE_ON_CLIENT_HELLO');
  return `TLS_error:${both}:TLS_error_end`;
}

/** What BoringSSL says of a client that wants another handshake. */
export function renegotiationText(): string {
  const [first, second] = ['NO_RENEGOTIATION', 'PROTOCOL_IS_SHUTDOWN'].map(oneError);
  return `TLS_error:${first}:TLS_error_end${second}:TLS_error_end`;
}

function oneError(reason: string): string {
  const alert = alertName.exec(reason)?.[1];
  const number = alert !== undefined && alert in alerts ? 1000 + alerts[alert]! : reasonNumbers[reason];
  return `|${number === undefined ? '' : 0x10000000 + number}:SSL routines:OPENSSL_internal:${reason}`;
}
