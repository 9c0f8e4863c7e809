// What `/certs` shows of the certificates in a configuration.
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { CertificateDetails, CertificatePair } from '#admin/owners.ts';
import { pkcs12Leaf } from '#config/tls-certificate.ts';
import { parseSubjectAltName } from '#net/tls-certificate.ts';
import type { DataSource } from '#schema/messages/envoy/config/core/v3.ts';
import type {
  CommonTlsContext,
  SdsSecretConfig,
  Secret,
  TlsCertificate,
} from '#schema/messages/envoy/extensions/transport_sockets/tls/v3.ts';
import { visitPacked } from '../observe/config-dump-sections.ts';

interface TlsContext {
  readonly common_tls_context?: CommonTlsContext;
}

/**
 * One pair per TLS context below `config`. What cannot be read or parsed is left out: accepting it was somebody else's decision.
 * `secretOf` finds what a context refers to.
 */
export function certificatePairs(
  config: unknown,
  secretOf: (reference: SdsSecretConfig) => Secret | undefined,
): CertificatePair[] {
  const pairs: CertificatePair[] = [];
  const found = (reference: SdsSecretConfig | undefined) => reference && secretOf(reference);
  const first = (source: DataSource | undefined) =>
    source === undefined ? [] : certificateDetails(source).slice(0, 1);
  visitPacked(config, (type, value) => {
    if (!/\.(Down|Up)streamTlsContext$/.test(type)) return;
    const common = (value as TlsContext).common_tls_context;
    const combined = common?.combined_validation_context;
    const discovered =
      found(common?.validation_context_sds_secret_config) ??
      found(combined?.validation_context_sds_secret_config);
    const ca =
      common?.validation_context?.trusted_ca ??
      discovered?.validation_context?.trusted_ca ??
      combined?.default_validation_context?.trusted_ca;
    const chains = [
      ...(common?.tls_certificates ?? []),
      ...(common?.tls_certificate_sds_secret_configs ?? []).map((it) => found(it)?.tls_certificate),
    ];
    const pair = {
      caCertificates: first(ca),
      certificateChain: chains.flatMap((it) =>
        it?.pkcs12 === undefined ? first(it?.certificate_chain) : pkcs12Details(it),
      ),
    };
    pairs.push(pair);
  });
  return pairs;
}

function pkcs12Details({ pkcs12, password }: TlsCertificate): CertificateDetails[] {
  try {
    const leaf = pkcs12Leaf(bytesOf(pkcs12!), password === undefined ? '' : bytesOf(password).toString());
    return [detailsOf(leaf, pkcs12!.filename ?? '<inline>')];
  } catch {
    return [];
  }
}

function bytesOf({ filename, inline_string, inline_bytes, environment_variable }: DataSource): Buffer {
  if (inline_bytes !== undefined) return Buffer.from(inline_bytes);
  if (environment_variable !== undefined) return Buffer.from(process.env[environment_variable] ?? '');
  return filename === undefined ? Buffer.from(inline_string ?? '') : readFileSync(filename);
}

/** Every certificate of a PEM source, the leaf first. */
export function certificateDetails(source: DataSource): CertificateDetails[] {
  const { filename } = source;
  let pem: string;
  try {
    pem = bytesOf(source).toString('latin1');
  } catch {
    return [];
  }
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? [];
  return blocks.flatMap((block) => {
    try {
      return [detailsOf(new X509Certificate(block), filename ?? '<inline>')];
    } catch {
      return [];
    }
  });
}

function detailsOf(certificate: X509Certificate, path: string): CertificateDetails {
  return {
    path,
    serialNumber: certificate.serialNumber.toLowerCase(),
    subjectAltNames: subjectAltNames(certificate.subjectAltName ?? ''),
    validFromMs: certificate.validFromDate.getTime(),
    expirationMs: certificate.validToDate.getTime(),
  };
}

/** By kind, as Envoy lists them. */
function subjectAltNames(text: string): CertificateDetails['subjectAltNames'] {
  const { dns, uri, ip } = parseSubjectAltName(text);
  return [
    ...dns.map((value) => ({ kind: 'dns' as const, value })),
    ...uri.map((value) => ({ kind: 'uri' as const, value })),
    ...ip.map((value) => ({ kind: 'ip_address' as const, value })),
  ];
}
