// Certificates and keys: readable, belonging together, in force; validation that protects something; taps that see something.

import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { MessageTypes } from '#schema/messages/type-map.ts';
import type { Surroundings } from '../check-message.ts';
import { nearest } from '../edit-distance.ts';
import type { ParseContext } from '../parse-context.ts';
import { type Rule, rule } from './rule.ts';
import type { RuleScope } from './scope.ts';
import { cipherNames, groupNames, isCipher, isGroup } from './tls-names.ts';

type DataSource = MessageTypes['envoy.config.core.v3.DataSource'];
type TlsCertificate = MessageTypes['envoy.extensions.transport_sockets.tls.v3.TlsCertificate'];
type ValidationContext =
  MessageTypes['envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext'];

export const tlsRules: readonly Rule[] = [
  rule('envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext', (context, at) => {
    const common = context.common_tls_context;
    const hasCertificate =
      common !== undefined &&
      (common.tls_certificates.length > 0 ||
        common.tls_certificate_sds_secret_configs.length > 0 ||
        common.tls_certificate_provider_instance !== undefined ||
        common.custom_tls_certificate_selector !== undefined);
    if (hasCertificate) return;
    at.fail('a server needs a certificate', {
      rule: 'tls-certificate',
      envoy: 'No TLS certificates found for server context',
      expected: '"common_tls_context.tls_certificates" or "tls_certificate_sds_secret_configs"',
      suggestion: 'add "tls_certificates" with "certificate_chain" and "private_key"',
    });
  }),
  rule('envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext', (context, at) => {
    if ((context.common_tls_context?.tls_certificates.length ?? 0) < 2) return;
    at.field('common_tls_context')
      .field('tls_certificates')
      .fail('a client presents at most one certificate', {
        rule: 'tls-certificate',
        envoy: 'Multiple TLS certificates are not supported for client contexts',
        suggestion: 'keep one of them',
      });
  }),
  rule('envoy.extensions.transport_sockets.tls.v3.TlsParameters', (parameters, at) => {
    const { cipher_suites: suites, ecdh_curves: curves } = parameters;
    const wrong = suites.filter((it) => !isCipher(it));
    suites.forEach((suite, i) => {
      if (isCipher(suite)) return;
      const similar = nearest(suite, cipherNames);
      at.field('cipher_suites', i).fail(`there is no cipher suite "${suite}"`, {
        rule: 'tls-parameters',
        got: suite,
        envoy: `Failed to initialize cipher suites ${suites.join(':')}. The following ciphers were rejected when tried individually: ${wrong.join(', ')}`,
        suggestion: suite.startsWith('TLS_')
          ? 'cipher suites of TLS 1.3 are always on: remove it'
          : similar === undefined
            ? 'use the names of BoringSSL, such as ECDHE-RSA-AES128-GCM-SHA256'
            : `did you mean "${similar}"?`,
      });
    });
    curves.forEach((curve, i) => {
      if (isGroup(curve)) return;
      at.field('ecdh_curves', i).fail(`there is no curve "${curve}"`, {
        rule: 'tls-parameters',
        got: curve,
        envoy: `Failed to initialize ECDH curves ${curves.join(':')}`,
        expected: `one of ${groupNames.join(', ')}`,
      });
    });
  }),
  rule('envoy.extensions.transport_sockets.tls.v3.Secret', (secret, at) => {
    const { tls_certificate, session_ticket_keys, validation_context, generic_secret } = secret;
    if (
      [tls_certificate, session_ticket_keys, validation_context, generic_secret].some(
        (it) => it !== undefined,
      )
    )
      return;
    at.fail('the secret is empty', {
      rule: 'tls-certificate',
      envoy: 'Secret type not implemented',
      expected: 'one of tls_certificate, session_ticket_keys, validation_context, generic_secret',
    });
  }),
  rule('envoy.config.tap.v3.TapConfig', ({ match, match_config }, at) => {
    if (match !== undefined || match_config !== undefined) return;
    at.fail('"match" is missing', {
      rule: 'missing-required',
      envoy: 'Neither match nor match_config is set in TapConfig',
      suggestion: 'add "match: { any_match: true }"',
    });
  }),
  rule('envoy.extensions.transport_sockets.tls.v3.SubjectAltNameMatcher', (matcher, at) => {
    if (matcher.san_type !== 'OTHER_NAME' || /^\d+(?:\.\d+)+$/.test(matcher.oid)) return;
    at.fail('OTHER_NAME needs "oid"', {
      rule: 'tls-validation',
      envoy: `Failed to create SAN matcher for OTHER_NAME with OID: ${matcher.oid}`,
      suggestion: 'add "oid: 1.2.3.4"',
    });
  }),
  rule('envoy.extensions.transport_sockets.tls.v3.TlsCertificate', checkCertificate),
  rule('envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext', checkValidation),
  rule('envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig', (config, at, scope) => {
    if (config.sds_config !== undefined || scope.isPartial || scope.secrets.has(config.name)) return;
    const similar = nearest(config.name, scope.secrets);
    at.field('name').fail(
      `the secret "${config.name}" is not in "static_resources.secrets", and there is no "sds_config"`,
      {
        rule: 'unknown-secret',
        got: config.name,
        envoy: `Unknown static secret: ${config.name}`,
        suggestion:
          similar === undefined ? 'add "sds_config", or define the secret' : `did you mean "${similar}"?`,
      },
    );
  }),
];

/** What a data source holds; undefined when it cannot be read, which has been reported. */
function read(source: DataSource, at: ParseContext): Buffer | undefined {
  if (source.inline_string !== undefined) return Buffer.from(source.inline_string);
  if (source.inline_bytes !== undefined) return Buffer.from(source.inline_bytes);
  if (source.environment_variable !== undefined) {
    const value = process.env[source.environment_variable];
    if (value !== undefined) return Buffer.from(value);
    at.field('environment_variable').fail(
      `the environment variable "${source.environment_variable}" is not set`,
      {
        rule: 'missing-file',
        got: source.environment_variable,
        envoy: `Environment variable doesn't exist: ${source.environment_variable}`,
      },
    );
    return undefined;
  }
  if (source.filename === undefined) return undefined;
  try {
    return readFileSync(source.filename);
  } catch {
    at.field('filename').fail(`the file "${source.filename}" cannot be read`, {
      rule: 'missing-file',
      got: source.filename,
      envoy: `Invalid path: ${source.filename}`,
    });
    return undefined;
  }
}

function nameOf(source: DataSource): string {
  return source.filename ?? '<inline>';
}

function checkCertificate(
  certificate: TlsCertificate,
  at: ParseContext,
  scope: RuleScope,
  around: Surroundings,
): void {
  if (certificate.pkcs12 !== undefined || certificate.private_key_provider !== undefined) return;
  const { certificate_chain: chain, private_key: key } = certificate;
  if (chain === undefined) {
    const isServer =
      around.inside('envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext') !== undefined;
    at.fail('"certificate_chain" is missing', {
      rule: 'tls-certificate',
      envoy: isServer
        ? 'Server TlsCertificates must have a certificate specified'
        : 'Failed to load incomplete certificate from : certificate chain not set',
      suggestion: 'add "certificate_chain"',
    });
  }
  if (key === undefined) {
    at.fail('"private_key" is missing', {
      rule: 'tls-certificate',
      envoy: 'Failed to load incomplete private key from path: ',
      suggestion: 'add "private_key"',
    });
  }
  const x509 = chain === undefined ? undefined : readCertificate(chain, at.field('certificate_chain'), scope);
  if (key === undefined) return;
  const keyAt = at.field('private_key');
  const bytes = read(key, keyAt);
  if (bytes === undefined) return;
  let privateKey: KeyObject;
  try {
    const password =
      certificate.password === undefined ? undefined : read(certificate.password, at.field('password'));
    privateKey = createPrivateKey({ key: bytes, ...(password !== undefined && { passphrase: password }) });
  } catch {
    keyAt.fail('the private key cannot be read', {
      rule: 'tls-certificate',
      envoy: `Failed to load private key from ${nameOf(key)}, Cause: error:0900006e:PEM routines:OPENSSL_internal:NO_START_LINE`,
      expected: 'a key in PEM form: -----BEGIN PRIVATE KEY-----',
      ...(bytes.includes('CERTIFICATE') && {
        suggestion: 'this is a certificate: swap "certificate_chain" and "private_key"',
      }),
    });
    return;
  }
  if (x509 !== undefined && !x509.checkPrivateKey(privateKey)) {
    keyAt.fail('the private key does not belong to the certificate', {
      rule: 'tls-certificate',
      envoy: `Failed to load private key from ${nameOf(key)}, Cause: error:0b000074:X.509 certificate routines:OPENSSL_internal:KEY_VALUES_MISMATCH`,
      suggestion: 'take the key that the certificate was made for',
    });
  }
}

function readCertificate(chain: DataSource, at: ParseContext, scope: RuleScope): X509Certificate | undefined {
  const bytes = read(chain, at);
  if (bytes === undefined) return undefined;
  try {
    // DER would be read as well, but Envoy only takes PEM here.
    if (!bytes.includes('-----BEGIN')) throw new Error('no PEM');
    const x509 = new X509Certificate(bytes);
    checkDates(x509, at, scope);
    return x509;
  } catch {
    at.fail('the certificate cannot be read', {
      rule: 'tls-certificate',
      envoy: `Failed to load certificate chain from ${nameOf(chain)}`,
      expected: 'certificates in PEM form: -----BEGIN CERTIFICATE-----',
      ...(bytes.includes('PRIVATE KEY') && {
        suggestion: 'this is a key: swap "certificate_chain" and "private_key"',
      }),
    });
    return undefined;
  }
}

const soonMs = 14 * 24 * 3600 * 1000;

function checkDates(x509: X509Certificate, at: ParseContext, scope: RuleScope): void {
  const now = (scope.options.now ?? new Date()).getTime();
  const until = Date.parse(x509.validTo);
  if (until < now)
    at.warn(`the certificate expired on ${x509.validTo}`, {
      rule: 'certificate-expiry',
      suggestion: 'renew it',
    });
  else if (until - now < soonMs) {
    at.warn(`the certificate expires on ${x509.validTo}`, {
      rule: 'certificate-expiry',
      suggestion: 'renew it soon',
    });
  } else if (Date.parse(x509.validFrom) > now) {
    at.warn(`the certificate is not valid before ${x509.validFrom}`, { rule: 'certificate-expiry' });
  }
}

const combined =
  'envoy.extensions.transport_sockets.tls.v3.CommonTlsContext.CombinedCertificateValidationContext';

function checkValidation(
  context: ValidationContext,
  at: ParseContext,
  _scope: RuleScope,
  around: Surroundings,
): void {
  const ca = context.trusted_ca;
  if (ca !== undefined) {
    const here = at.field('trusted_ca');
    const bytes = read(ca, here);
    if (bytes !== undefined) {
      try {
        if (!bytes.includes('-----BEGIN')) throw new Error('no PEM');
        new X509Certificate(bytes);
      } catch {
        here.fail('the CA certificates cannot be read', {
          rule: 'tls-validation',
          envoy: `Failed to load trusted CA certificates from ${nameOf(ca)}`,
          expected: 'certificates in PEM form: -----BEGIN CERTIFICATE-----',
        });
      }
    }
  }
  const checksNames =
    context.match_typed_subject_alt_names.length > 0 || context.match_subject_alt_names.length > 0;
  const hasCa =
    ca !== undefined ||
    context.ca_certificate_provider_instance !== undefined ||
    context.system_root_certs !== undefined;
  // The secret over a default context brings the CA.
  const isWhole = around.inside(combined) === undefined;
  if (checksNames && !hasCa && isWhole && context.custom_validator_config === undefined) {
    at.fail('names are checked, but nobody vouches for them: "trusted_ca" is missing', {
      rule: 'tls-validation',
      envoy: 'SAN-based verification of peer certificates without trusted CA is insecure and not allowed',
      suggestion: 'add "trusted_ca"',
    });
  }
  context.verify_certificate_hash.forEach((hash, i) => {
    if (/^[0-9a-fA-F]{64}$/.test(hash.replaceAll(':', ''))) return;
    at.field('verify_certificate_hash', i).fail('this is not a SHA-256 in hexadecimal digits', {
      rule: 'tls-validation',
      got: hash,
      envoy: `Invalid hex-encoded SHA-256 ${hash}`,
      expected: '64 hexadecimal digits',
    });
  });
  context.verify_certificate_spki.forEach((hash, i) => {
    if (/^[0-9a-zA-Z+/]{43}=$/.test(hash)) return;
    at.field('verify_certificate_spki', i).fail('this is not a SHA-256 in base64', {
      rule: 'tls-validation',
      got: hash,
      envoy: `Invalid base64-encoded SHA-256 ${hash}`,
      expected: '44 characters of base64',
    });
  });
}
