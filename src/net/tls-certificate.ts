// What logs, matchers and x-forwarded-client-cert want of a certificate, in BoringSSL's spelling.
import type { X509Certificate } from 'node:crypto';
import { canonicalIp } from '#base/cidr.ts';
import { contextTag, type DerElement, DerTag, derElements } from './der.ts';

export interface SubjectAltNames {
  readonly uri: readonly string[];
  readonly dns: readonly string[];
  readonly ip: readonly string[];
  readonly email: readonly string[];
}

/** Reads each part once, when somebody asks. */
export class CertificateFacts {
  readonly x509: X509Certificate;
  #names: SubjectAltNames | undefined = undefined;

  constructor(x509: X509Certificate) {
    this.x509 = x509;
  }

  /** RFC 2253. */
  get subject(): string {
    return rfc2253(this.x509.subject);
  }

  get issuer(): string {
    return rfc2253(this.x509.issuer);
  }

  get serial(): string {
    return this.x509.serialNumber.toLowerCase();
  }

  get sha256(): string {
    return this.x509.fingerprint256.replaceAll(':', '').toLowerCase();
  }

  get sha1(): string {
    return this.x509.fingerprint.replaceAll(':', '').toLowerCase();
  }

  get pem(): string {
    return this.x509.toString();
  }

  get validFromMs(): number {
    return this.x509.validFromDate.getTime();
  }

  get validToMs(): number {
    return this.x509.validToDate.getTime();
  }

  get uriSans(): readonly string[] {
    return this.#sans().uri;
  }

  get dnsSans(): readonly string[] {
    return this.#sans().dns;
  }

  get ipSans(): readonly string[] {
    return this.#sans().ip;
  }

  get emailSans(): readonly string[] {
    return this.#sans().email;
  }

  #sans(): SubjectAltNames {
    return (this.#names ??= parseSubjectAltName(this.x509.subjectAltName ?? ''));
  }
}

const certificateBlock =
  /-----BEGIN (?:TRUSTED )?CERTIFICATE-----[\s\S]*?-----END (?:TRUSTED )?CERTIFICATE-----/g;

const subjectAltNameId = Buffer.from([0x06, 0x03, 0x55, 0x1d, 0x11]);

/** The values of names of the kind otherName with this object identifier (its content in DER), as text. Node does not offer them. */
export function otherNames({ raw }: X509Certificate, id: Buffer): string[] {
  const at = raw.indexOf(subjectAltNameId);
  if (at < 0) return [];
  try {
    // Behind the id: perhaps `critical`, and an OCTET STRING with the list.
    const rest = raw.subarray(at + subjectAltNameId.length);
    const extension = firstElement(rest[0] === DerTag.Boolean ? rest.subarray(3) : rest);
    const [list] = derElements(extension);
    return derElements(list!.content).flatMap(({ tag, content }) => {
      if (tag !== contextTag(0)) return [];
      const [type, explicit] = derElements(content);
      return type!.content.equals(id) ? [valueText(derElements(explicit!.content)[0]!)] : [];
    });
  } catch {
    // OpenSSL takes a certificate with names that cannot be read, too.
    return [];
  }
}

/** The content of the first element; others follow. */
function firstElement(bytes: Buffer): Buffer {
  const size = bytes[1]! > 0x80 ? bytes[1]! & 0x7f : 0;
  const length = size === 0 ? bytes[1]! : bytes.readUIntBE(2, size);
  return bytes.subarray(2 + size, 2 + size + length);
}

/** Numbers and truth values as words, whatever else as the bytes it has. */
function valueText({ tag, content }: DerElement): string {
  if (tag === DerTag.Boolean) return content[0] === 0 ? 'false' : 'true';
  if (tag === DerTag.Integer || tag === DerTag.Enumerated)
    return String(BigInt.asIntN(content.length * 8, BigInt(`0x${content.toString('hex') || '0'}`)));
  if (tag === DerTag.BmpString) return Buffer.from(content).swap16().toString('utf16le');
  return content.toString(tag === DerTag.Utf8String ? 'utf8' : 'latin1');
}

/** The certificates of a PEM text, one text each. */
export function pemCertificates(pem: string): readonly string[] {
  return pem.match(certificateBlock) ?? [];
}

/** Names a server certificate stands for: its DNS names, or its common name when it has none. */
export function serverNames(x509: X509Certificate): readonly string[] {
  const { dns } = parseSubjectAltName(x509.subjectAltName ?? '');
  if (dns.length > 0) return dns;
  const commonName = /(?:^|\n)CN=(.*)/.exec(x509.subject ?? '')?.[1];
  return commonName === undefined ? [] : [commonName];
}

/** Node's `DNS:a.example.com, IP Address:127.0.0.1`; a text with a comma or the like is a JSON string. */
export function parseSubjectAltName(text: string): SubjectAltNames {
  const names = { uri: [] as string[], dns: [] as string[], ip: [] as string[], email: [] as string[] };
  for (const [, kind, value] of text.matchAll(/([A-Za-z ]+?):("(?:[^"\\]|\\.)*"|[^,]*)(?:, |$)/g)) {
    const name = value!.startsWith('"') ? (JSON.parse(value!) as string) : value!;
    if (kind === 'DNS') names.dns.push(name);
    else if (kind === 'URI') names.uri.push(name);
    else if (kind === 'email') names.email.push(name);
    else if (kind === 'IP Address') names.ip.push(canonicalIp(name.toLowerCase()) ?? name);
  }
  return names;
}

/** Node has one line per name, in the order of the certificate, the values escaped; RFC 2253 wants the last first. */
function rfc2253(lines: string | undefined): string {
  if (lines === undefined || lines === '') return '';
  return lines
    .split('\n')
    .reverse()
    .join(',')
    .replace(/[^\0-\x7f]+/g, escapeBytes);
}

function escapeBytes(text: string): string {
  return Buffer.from(text, 'utf8').toString('hex').toUpperCase().replace(/../g, '\\$&');
}
