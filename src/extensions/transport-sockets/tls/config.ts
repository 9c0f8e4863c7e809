// The two TLS contexts -> plain data.
import { createHash, randomBytes } from 'node:crypto';
import type { ParseContext } from '#config/parse-context.ts';
import { durationMs, onlyFields } from '#extension/message-fields.ts';
import { parseCertificate, parseTicketKeys } from '#extension/secrets/parse-certificate.ts';
import { parseSecretReference } from '#extension/secrets/parse-secret.ts';
import { parseValidation } from '#extension/secrets/parse-validation.ts';
import type { CertificateData, TicketKey, ValidationData } from '#extension/secrets/secret-data.ts';
import type {
  CommonTlsContext,
  DownstreamTlsContext,
  UpstreamTlsContext,
} from '#schema/messages/envoy/extensions/transport_sockets/tls/v3.ts';
import { type KeyLogData, parseKeyLog } from './key-log.ts';
import { parseParameters, type TlsParametersData } from './parameters.ts';

export interface TlsConfig extends TlsParametersData {
  readonly certificates: readonly CertificateData[];
  /** Keys of secrets that are certificates. */
  readonly certificateSecrets: readonly string[];
  /** The context of the configuration, or the default one under a secret. */
  readonly validation: ValidationData | undefined;
  /** Key of the secret, empty when there is none. */
  readonly validationSecret: string;
  readonly alpn: readonly string[];
  readonly keyLog: KeyLogData | undefined;
}

export interface DownstreamTlsConfig extends TlsConfig {
  readonly requireClientCertificate: boolean;
  readonly fullScan: boolean;
  readonly prefersClientCiphers: boolean;
  readonly staplePolicy: DownstreamTlsContext['ocsp_staple_policy'];
  /** Resumption by tickets, and of TLS 1.2 by the ids of sessions that are kept here. */
  readonly stateless: boolean;
  readonly stateful: boolean;
  /** The first encrypts, all decrypt. None: one is made of the seed, which is the same for all workers of the process. */
  readonly ticketKeys: readonly TicketKey[];
  readonly ticketSeed: Uint8Array;
  readonly ticketKeySecret: string;
  /** Of versions before TLS 1.3, in seconds; 0: OpenSSL's default. */
  readonly sessionTimeout: number;
}

export interface UpstreamTlsConfig extends TlsConfig {
  readonly sni: string;
  readonly autoHostSni: boolean;
  readonly autoSniSanValidation: boolean;
  readonly allowsRenegotiation: boolean;
  /** Sessions kept per cluster; 0: no resumption. */
  readonly maxSessionKeys: number;
}

/** In Envoy's words. */
const insecureDefault =
  'Using deprecated insecure default of not requiring client cert when a validation context is configured. This default will be changed in a future version. Please explicitly configure a value for require_client_certificate.';

/** Ticket keys are derived from it, so that the workers of a process agree and equal contexts are equal data. */
const processSecret = randomBytes(32);

export function parseDownstreamTls(message: DownstreamTlsContext, at: ParseContext): DownstreamTlsConfig {
  onlyFields(message, at, [
    'common_tls_context',
    'require_client_certificate',
    'require_sni',
    'session_ticket_keys',
    'session_ticket_keys_sds_secret_config',
    'disable_stateless_session_resumption',
    'disable_stateful_session_resumption',
    'session_timeout',
    'full_scan_certs_on_sni_mismatch',
    'prefer_client_ciphers',
    'ocsp_staple_policy',
  ]);
  if (message.require_sni) at.field('require_sni').warn('has no effect, as in Envoy');
  const common = parseCommon(message.common_tls_context, at.field('common_tls_context'), true);
  if (common.certificates.length + common.certificateSecrets.length === 0 && at.ok) {
    const problem = 'No TLS certificates found for server context';
    at.fail(problem, { envoy: problem });
  }
  for (const { ocspStaple, mustStaple } of common.certificates) {
    if (ocspStaple !== undefined || (!mustStaple && message.ocsp_staple_policy !== 'MUST_STAPLE')) continue;
    const envoy = mustStaple
      ? 'OCSP response is required for must-staple certificate'
      : 'Required OCSP response is missing from TLS context';
    at.field('common_tls_context').field('tls_certificates').fail(envoy, { envoy });
  }
  const { common_tls_context: context } = message;
  const validates = (
    ['validation_context', 'validation_context_sds_secret_config', 'combined_validation_context'] as const
  ).some((it) => context?.[it] !== undefined);
  if (validates && message.require_client_certificate === undefined) at.warn(insecureDefault, {});
  if (message.require_client_certificate && common.validation === undefined && common.validationSecret === '')
    at.field('require_client_certificate').warn('has no effect without a validation context, as in Envoy');
  return {
    ...common,
    requireClientCertificate: message.require_client_certificate ?? false,
    fullScan: message.full_scan_certs_on_sni_mismatch ?? false,
    prefersClientCiphers: message.prefer_client_ciphers,
    staplePolicy: message.ocsp_staple_policy,
    stateless: !(message.disable_stateless_session_resumption ?? false),
    stateful: !message.disable_stateful_session_resumption,
    ticketKeys:
      message.session_ticket_keys === undefined
        ? []
        : parseTicketKeys(message.session_ticket_keys, at.field('session_ticket_keys')),
    ticketSeed: new Uint8Array(
      createHash('sha256').update(processSecret).update(JSON.stringify(common)).digest(),
    ),
    ticketKeySecret:
      message.session_ticket_keys_sds_secret_config === undefined
        ? ''
        : parseSecretReference(
            message.session_ticket_keys_sds_secret_config,
            at.field('session_ticket_keys_sds_secret_config'),
          ),
    sessionTimeout: Math.floor(durationMs(message.session_timeout, 0) / 1000),
  };
}

export function parseUpstreamTls(message: UpstreamTlsContext, at: ParseContext): UpstreamTlsConfig {
  onlyFields(message, at, [
    'common_tls_context',
    'sni',
    'auto_host_sni',
    'auto_sni_san_validation',
    'allow_renegotiation',
    'max_session_keys',
    'enforce_rsa_key_usage',
  ]);
  const common = parseCommon(message.common_tls_context, at.field('common_tls_context'), false);
  if (common.certificates.length + common.certificateSecrets.length > 1) {
    const problem = 'Multiple TLS certificates are not supported for client contexts';
    at.field('common_tls_context').fail(problem, { envoy: problem });
  }
  return {
    ...common,
    sni: message.sni,
    autoHostSni: message.auto_host_sni,
    autoSniSanValidation: message.auto_sni_san_validation,
    allowsRenegotiation: message.allow_renegotiation,
    maxSessionKeys: message.max_session_keys ?? 1,
  };
}

function parseCommon(message: CommonTlsContext | undefined, at: ParseContext, isServer: boolean): TlsConfig {
  if (message !== undefined)
    onlyFields(message, at, [
      'tls_params',
      'tls_certificates',
      'tls_certificate_sds_secret_configs',
      'validation_context',
      'validation_context_sds_secret_config',
      'combined_validation_context',
      'alpn_protocols',
      'key_log',
    ]);
  const certificates: CertificateData[] = [];
  message?.tls_certificates.forEach((it, i) => {
    const certificate = parseCertificate(it, at.field('tls_certificates', i), '');
    if (certificate !== undefined) certificates.push(certificate);
  });
  const combined = message?.combined_validation_context;
  if (combined !== undefined)
    onlyFields(combined, at.field('combined_validation_context'), [
      'default_validation_context',
      'validation_context_sds_secret_config',
    ]);
  const validation = message?.validation_context ?? combined?.default_validation_context;
  const validationAt =
    combined === undefined
      ? at.field('validation_context')
      : at.field('combined_validation_context').field('default_validation_context');
  const secret =
    message?.validation_context_sds_secret_config ?? combined?.validation_context_sds_secret_config;
  return {
    ...parseParameters(message?.tls_params, at.field('tls_params'), isServer),
    certificates,
    certificateSecrets:
      message?.tls_certificate_sds_secret_configs.map((it, i) =>
        parseSecretReference(it, at.field('tls_certificate_sds_secret_configs', i)),
      ) ?? [],
    validation: validation && parseValidation(validation, validationAt, ''),
    validationSecret:
      secret === undefined
        ? ''
        : parseSecretReference(
            secret,
            (combined === undefined ? at : at.field('combined_validation_context')).field(
              'validation_context_sds_secret_config',
            ),
          ),
    alpn: (message?.alpn_protocols ?? []).flatMap((it) => it.split(',')),
    keyLog: message?.key_log && parseKeyLog(message.key_log, at.field('key_log')),
  };
}
