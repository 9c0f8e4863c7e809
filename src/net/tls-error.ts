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
  DECRYPTION_FAILED_OR_BAD_RECORD_MAC: 130,
  HTTPS_PROXY_REQUEST: 155,
  HTTP_REQUEST: 156,
  INVALID_ALPN_PROTOCOL: 280,
  KEY_USAGE_BIT_INCORRECT: 302,
  NO_COMMON_SIGNATURE_ALGORITHMS: 253,
  NO_SHARED_CIPHER: 184,
  NO_SHARED_GROUP: 266,
  PEER_DID_NOT_RETURN_A_CERTIFICATE: 192,
  UNEXPECTED_MESSAGE: 223,
  UNSUPPORTED_PROTOCOL: 240,
  WRONG_VERSION_NUMBER: 247,
};

const alerts: Readonly<Record<string, number>> = {
  UNEXPECTED_MESSAGE: 10,
  BAD_RECORD_MAC: 20,
  RECORD_OVERFLOW: 22,
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
  UNRECOGNIZED_NAME: 112,
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
  return renamed[spelled] ?? spelled;
}

/** `detail` is what a verifier has to add: `verify cert failed: ...`. */
export function tlsErrorText(reason: string, detail = ''): string {
  const alert = /^(?:TLSV\d+|SSLV3)(?:_ALERT)?_(.*)$/.exec(reason)?.[1];
  const number = alert !== undefined && alert in alerts ? 1000 + alerts[alert]! : reasonNumbers[reason];
  const code = number === undefined ? '' : String(0x10000000 + number);
  const more = detail === '' ? (details[reason] ?? '') : detail;
  const added = more === '' ? '' : `:${more}`;
  return `TLS_error:|${code}:SSL routines:OPENSSL_internal:${reason}${added}:TLS_error_end`;
}
