// What `/certs` shows of the certificates in a configuration.
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { CertificateDetails, CertificatePair } from '#admin/owners.ts';
import { visitPacked } from '../observe/config-dump-sections.ts';

interface DataSource {
  readonly filename?: string;
  readonly inline_string?: string;
  readonly inline_bytes?: Uint8Array;
  readonly environment_variable?: string;
}

interface TlsContext {
  readonly common_tls_context?: {
    readonly tls_certificates?: readonly { readonly certificate_chain?: DataSource }[];
    readonly validation_context?: { readonly trusted_ca?: DataSource };
    readonly combined_validation_context?: {
      readonly default_validation_context?: { readonly trusted_ca?: DataSource };
    };
  };
}

/** One pair per TLS context below `config`. What cannot be read or parsed is left out: accepting it was somebody else's decision. */
export function certificatePairs(config: unknown): CertificatePair[] {
  const pairs: CertificatePair[] = [];
  visitPacked(config, (type, value) => {
    if (!/\.(Down|Up)streamTlsContext$/.test(type)) return;
    const common = (value as TlsContext).common_tls_context;
    const ca =
      common?.validation_context?.trusted_ca ??
      common?.combined_validation_context?.default_validation_context?.trusted_ca;
    const pair = {
      caCertificates: ca === undefined ? [] : certificateDetails(ca).slice(0, 1),
      certificateChain: (common?.tls_certificates ?? []).flatMap(({ certificate_chain }) =>
        certificate_chain === undefined ? [] : certificateDetails(certificate_chain).slice(0, 1),
      ),
    };
    if (pair.caCertificates.length + pair.certificateChain.length > 0) pairs.push(pair);
  });
  return pairs;
}

/** Every certificate of a PEM source, the leaf first. */
export function certificateDetails(source: DataSource): CertificateDetails[] {
  const { filename, inline_string, inline_bytes, environment_variable } = source;
  let pem = inline_string ?? '';
  try {
    if (filename !== undefined) pem = readFileSync(filename, 'latin1');
  } catch {
    return [];
  }
  if (inline_bytes !== undefined) pem = Buffer.from(inline_bytes).toString('latin1');
  if (environment_variable !== undefined) pem = process.env[environment_variable] ?? '';
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

const kinds = { DNS: 'dns', URI: 'uri', 'IP Address': 'ip_address' } as const;

/** `DNS:a.example.com, IP Address:127.0.0.1`; texts with a comma are quoted. */
function subjectAltNames(text: string): CertificateDetails['subjectAltNames'] {
  return [...text.matchAll(/([A-Za-z ]+?):("(?:[^"\\]|\\.)*"|[^,]*)(?:, |$)/g)].flatMap(([, name, value]) => {
    const kind = kinds[name as keyof typeof kinds];
    return kind === undefined ? [] : [{ kind, value: value!.startsWith('"') ? JSON.parse(value!) : value! }];
  });
}
