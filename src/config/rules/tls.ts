// Certificates and keys: readable, belonging together, in force; validation that protects something; taps that see something.

import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { MessageTypes } from '#schema/messages/type-map.ts';
import type { Surroundings } from '../check-message.ts';
import { cipherGroups, cipherNames } from '../cipher-list.ts';
import { nearest } from '../edit-distance.ts';
import type { ParseContext } from '../parse-context.ts';
import { loadCertificate } from '../tls-certificate.ts';
import { type Rule, rule } from './rule.ts';
import { type RuleScope, secretKinds } from './scope.ts';
import { groupId, groupNames, isGroup, isSignature } from './tls-names.ts';
import { needNode } from './xds.ts';

type DataSource = MessageTypes['envoy.config.core.v3.DataSource'];
type TlsCertificate = MessageTypes['envoy.extensions.transport_sockets.tls.v3.TlsCertificate'];
type ValidationContext =
  MessageTypes['envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext'];

export const tlsRules: readonly Rule[] = [
  rule('envoy.config.bootstrap.v3.Bootstrap.StaticResources', ({ secrets }, at) => {
    const seen = new Set<string>();
    secrets.forEach((secret, i) => {
      const kind = secretKinds.find((it) => secret[it] !== undefined);
      if (kind === undefined) return;
      const key = `${kind} ${secret.name}`;
      if (seen.has(key)) {
        at.field('secrets', i)
          .field('name')
          .fail(`there is another secret "${secret.name}" with "${kind}"`, {
            rule: 'duplicate-secret',
            got: secret.name,
            envoy: `Duplicate static ${secretTypes[kind]} secret name ${secret.name}`,
            suggestion: 'rename one of them',
          });
      }
      seen.add(key);
    });
  }),
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
    const { cipher_suites: suites, ecdh_curves: curves, signature_algorithms: algorithms } = parameters;
    const list = suites.join(':');
    if (suites.length > 0 && cipherGroups(list) === undefined) {
      const wrong = list
        .split(/[:;, [\]|]/)
        .filter((it) => it !== '' && cipherGroups(it.replace(/^[-!+]/, '')) === undefined);
      const envoy = `Failed to initialize cipher suites ${list}. The following ciphers were rejected when tried individually: ${wrong.join(', ')}`;
      if (wrong.length === 0)
        at.field('cipher_suites').fail('there are no suites in the list', { rule: 'tls-parameters', envoy });
      suites.forEach((suite, i) => {
        const part = wrong.find((it) => suite.includes(it));
        if (part === undefined) return;
        const similar = nearest(part, cipherNames);
        at.field('cipher_suites', i).fail(`there is no cipher suite "${part}"`, {
          rule: 'tls-parameters',
          got: suite,
          envoy,
          suggestion: part.startsWith('TLS_')
            ? 'cipher suites of TLS 1.3 are always on: remove it'
            : similar === undefined
              ? 'use the names of BoringSSL, such as ECDHE-RSA-AES128-GCM-SHA256'
              : `did you mean "${similar}"?`,
        });
      });
    }
    const groups = curves.flatMap((it) => it.split(':'));
    if (groups.every(isGroup) && new Set(groups.map(groupId)).size < groups.length) {
      at.field('ecdh_curves').fail('a curve is named twice', {
        rule: 'tls-parameters',
        envoy: `Failed to initialize ECDH curves ${curves.join(':')}`,
      });
    }
    const signatures = algorithms.flatMap((it) => it.split(':'));
    signatures.forEach((name, i) => {
      if (isSignature(name) && signatures.indexOf(name) === i) return;
      at.field('signature_algorithms').fail(
        isSignature(name) ? `"${name}" is named twice` : `there is no signature algorithm "${name}"`,
        {
          rule: 'tls-parameters',
          got: name,
          envoy: `Failed to initialize TLS signature algorithms ${algorithms.join(':')}`,
        },
      );
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
  rule('envoy.extensions.transport_sockets.tls.v3.CommonTlsContext', ({ alpn_protocols: names }, at) => {
    if (
      names
        .join(',')
        .split(',')
        .every((it) => Buffer.byteLength(it) < 256)
    )
      return;
    at.field('alpn_protocols').fail('a protocol has a name of more than 255 bytes', {
      rule: 'tls-parameters',
      envoy: 'Invalid ALPN protocol string',
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
  rule('envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig', (config, at, scope, around) => {
    const { kind, words, subscription } = secretUses[around.field?.name ?? ''] ?? otherSecretUse;
    if (config.sds_config !== undefined) needNode(at, scope, subscription);
    const known = scope.secrets[kind];
    if (config.sds_config !== undefined || scope.isPartial || known.has(config.name)) return;
    const similar = nearest(config.name, known);
    at.field('name').fail(
      `no secret "${config.name}" with "${kind}" is in "static_resources.secrets", and there is no "sds_config"`,
      {
        rule: 'unknown-secret',
        got: config.name,
        envoy: `${words}: ${config.name}`,
        suggestion:
          similar === undefined ? 'add "sds_config", or define the secret' : `did you mean "${similar}"?`,
      },
    );
  }),
];

/** Envoy's names of what a secret may be. */
const secretTypes: Readonly<Record<(typeof secretKinds)[number], string>> = {
  tls_certificate: 'TlsCertificate',
  session_ticket_keys: 'TlsSessionTicketKeys',
  validation_context: 'CertificateValidationContext',
  generic_secret: 'GenericSecret',
};

interface SecretUse {
  readonly kind: keyof RuleScope['secrets'];
  /** Envoy's, of a secret that is not there. */
  readonly words: string;
  /** Envoy's name of what asks for it. */
  readonly subscription: string;
}

const otherSecretUse: SecretUse = {
  kind: 'generic_secret',
  words: 'Unknown static secret',
  subscription: 'GenericSecretSdsApi',
};
/** By the field that names the secret. */
const secretUses: Readonly<Record<string, SecretUse>> = {
  tls_certificate_sds_secret_configs: {
    kind: 'tls_certificate',
    words: 'Unknown static secret',
    subscription: 'TlsCertificateSdsApi',
  },
  validation_context_sds_secret_config: {
    kind: 'validation_context',
    words: 'Unknown static certificate validation context',
    subscription: 'CertificateValidationContextSdsApi',
  },
  session_ticket_keys_sds_secret_config: {
    kind: 'session_ticket_keys',
    words: 'Unknown tls session ticket keys',
    subscription: 'TlsSessionTicketKeysSdsApi',
  },
};

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
  if (certificate.private_key_provider !== undefined && certificate.pkcs12 === undefined) return;
  const isServer =
    around.inside('envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext') !== undefined;
  const place = isServer ? 'server' : scope.isPartial ? 'discovered' : 'configuration';
  const loaded = loadCertificate(certificate, at, place);
  if (certificate.ocsp_staple !== undefined) read(certificate.ocsp_staple, at.field('ocsp_staple'));
  if (loaded === undefined) return;
  checkDates(loaded.leaf, at.field(loaded.pem === undefined ? 'pkcs12' : 'certificate_chain'), scope);
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
    if (bytes?.length === 0) {
      here.fail('there is nothing in it', {
        rule: 'tls-validation',
        envoy: ca.filename === undefined ? 'DataSource cannot be empty' : `file ${ca.filename} is empty`,
      });
    } else if (bytes !== undefined) {
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
  if (context.crl !== undefined) read(context.crl, at.field('crl'));
  if (context.crl !== undefined && !hasCa && isWhole) {
    at.field('crl').fail('nobody has signed it: "trusted_ca" is missing', {
      rule: 'tls-validation',
      envoy: `Failed to load CRL from ${nameOf(context.crl)} without trusted CA`,
      suggestion: 'add "trusted_ca"',
    });
  }
  if (context.allow_expired_certificate && !hasCa && isWhole) {
    at.field('allow_expired_certificate').fail('there is no "trusted_ca" for which dates would count', {
      rule: 'tls-validation',
      envoy: 'Certificate validity period is always ignored without trusted CA',
      suggestion: 'remove it',
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
