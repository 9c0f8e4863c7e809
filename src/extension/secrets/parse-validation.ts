// `CertificateValidationContext` -> plain data: which certificates of a peer are taken.
import { X509Certificate } from 'node:crypto';
import { getCACertificates } from 'node:tls';
import type { ParseContext } from '#config/parse-context.ts';
import { objectIdentifier } from '#net/der.ts';
import type { DataSource } from '#schema/messages/envoy/config/core/v3.ts';
import type {
  CertificateValidationContext,
  SPIFFECertValidatorConfig,
} from '#schema/messages/envoy/extensions/transport_sockets/tls/v3.ts';
import { readDataSource } from '../data-source.ts';
import { parseStringMatcher } from '../matchers/parse.ts';
import { onlyFields } from '../message-fields.ts';
import { typeOf } from '../registry.ts';
import type { SanMatcherData, SpiffeTrustDomain, ValidationData } from './secret-data.ts';

const sanTypes: Readonly<Record<string, SanMatcherData['type']>> = {
  DNS: 'dns',
  URI: 'uri',
  IP_ADDRESS: 'ip',
  EMAIL: 'email',
  OTHER_NAME: 'other',
};

export function parseValidation(
  message: CertificateValidationContext,
  at: ParseContext,
  name: string,
): ValidationData {
  onlyFields(message, at, [
    'trusted_ca',
    'system_root_certs',
    'watched_directory',
    'verify_certificate_spki',
    'verify_certificate_hash',
    'match_typed_subject_alt_names',
    'match_subject_alt_names',
    'crl',
    'allow_expired_certificate',
    'trust_chain_verification',
    'custom_validator_config',
    'only_verify_leaf_cert_crl',
    'max_verify_depth',
    'suppress_client_ca_list',
  ]);
  if (message.only_verify_leaf_cert_crl)
    at.field('only_verify_leaf_cert_crl').warn(
      'counts for clients only: of an upstream host every CA of the chain needs its CRL, OpenSSL looks for them',
    );
  const sans: SanMatcherData[] = [];
  message.match_typed_subject_alt_names.forEach((it, i) => {
    const here = at.field('match_typed_subject_alt_names', i);
    const type = sanTypes[it.san_type];
    if (type === undefined) {
      here.field('san_type').unsupported(`${it.san_type} is not supported by chancery`);
    } else if (it.matcher === undefined) here.fail('"matcher" is missing');
    else {
      if (type === 'other' && objectIdentifier(it.oid) === undefined) {
        const envoy = `Failed to create SAN matcher for OTHER_NAME with OID: ${it.oid}`;
        here.field('oid').fail(envoy, { envoy });
      }
      sans.push({ type, oid: it.oid, matcher: parseStringMatcher(it.matcher, here.field('matcher')) });
    }
  });
  message.match_subject_alt_names.forEach((it, i) => {
    sans.push({
      type: 'any',
      oid: '',
      matcher: parseStringMatcher(it, at.field('match_subject_alt_names', i)),
    });
  });
  return {
    name,
    trustedCa:
      message.trusted_ca === undefined && message.system_root_certs !== undefined
        ? getCACertificates('system').join('\n')
        : certificates(message.trusted_ca, at.field('trusted_ca')),
    crl: revoked(message.crl, at.field('crl')),
    sans,
    hashes: message.verify_certificate_hash.map((it) => it.replaceAll(':', '').toLowerCase()),
    spkis: message.verify_certificate_spki,
    allowExpired: message.allow_expired_certificate,
    onlyLeafCrl: message.only_verify_leaf_cert_crl,
    acceptUntrusted: message.trust_chain_verification === 'ACCEPT_UNTRUSTED',
    hidesCaNames: message.suppress_client_ca_list,
    maxDepth: message.max_verify_depth ?? -1,
    spiffe: parseSpiffe(message.custom_validator_config, at.field('custom_validator_config')),
  };
}

function certificates(source: DataSource | undefined, at: ParseContext): string {
  if (source === undefined) return '';
  const pem = readDataSource(source, at, false)?.toString('latin1');
  if (pem === undefined) return '';
  try {
    for (const block of pem.match(pemCertificate) ?? ['']) new X509Certificate(block);
    return pem;
  } catch (cause) {
    const problem = `Failed to load trusted CA certificates from ${source.filename ?? '<inline>'}`;
    at.fail(problem, { envoy: problem, cause });
    return '';
  }
}

const pemCertificate = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g;

function revoked(source: DataSource | undefined, at: ParseContext): string {
  if (source === undefined) return '';
  const pem = readDataSource(source, at, false)?.toString('latin1');
  if (pem === undefined) return '';
  if (pem.includes('-----BEGIN X509 CRL-----')) return pem;
  at.warn('there is no list of revoked certificates in it: none counts as revoked, as in Envoy');
  return '';
}

function parseSpiffe(
  custom: CertificateValidationContext['custom_validator_config'],
  at: ParseContext,
): readonly SpiffeTrustDomain[] | undefined {
  if (custom === undefined) return undefined;
  if (!typeOf(custom.typed_config).endsWith('.SPIFFECertValidatorConfig')) {
    at.unsupported(`the certificate validator "${custom.name}" is not supported by chancery`);
    return undefined;
  }
  const here = at.field('typed_config');
  const message = custom.typed_config as object as SPIFFECertValidatorConfig;
  onlyFields(message, here, ['trust_domains', 'trust_bundles']);
  if (message.trust_bundles !== undefined)
    return parseBundles(message.trust_bundles, here.field('trust_bundles'));
  const domains: SpiffeTrustDomain[] = [];
  message.trust_domains.forEach((domain, i) => {
    const domainAt = here.field('trust_domains', i);
    onlyFields(domain, domainAt, ['name', 'trust_bundle']);
    if (domains.some((it) => it.name === domain.name)) {
      const problem = `Multiple trust bundles are given for one trust domain for ${domain.name}`;
      domainAt.field('name').fail(problem, { envoy: problem });
    }
    domains.push({
      name: domain.name,
      bundle: certificates(domain.trust_bundle, domainAt.field('trust_bundle')),
    });
  });
  return domains;
}

/** SPIFFE bundles of several trust domains as JSON, of whose keys those for X.509 are taken. */
function parseBundles(source: DataSource, at: ParseContext): readonly SpiffeTrustDomain[] {
  const text = readDataSource(source, at, false)?.toString();
  if (text === undefined) return [];
  try {
    const { trust_domains: domains } = JSON.parse(text) as BundleMap;
    return Object.entries(domains).map(([name, { keys }]) => ({
      name,
      bundle: keys
        .filter(({ use }) => use === 'x509-svid')
        .flatMap(({ x5c }) => x5c.map((it) => new X509Certificate(Buffer.from(it, 'base64')).toString()))
        .join(''),
    }));
  } catch (cause) {
    const problem = 'Failed to load SPIFFE Bundle map';
    at.fail(`${problem}: ${(cause as Error).message}`, { envoy: problem, cause });
    return [];
  }
}

/** As far as it is needed, of what the SPIFFE API calls so. */
interface BundleMap {
  readonly trust_domains: Readonly<
    Record<string, { readonly keys: readonly { readonly use: string; readonly x5c: readonly string[] }[] }>
  >;
}
