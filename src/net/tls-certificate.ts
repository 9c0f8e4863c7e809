// What logs, matchers and x-forwarded-client-cert want of a certificate, in BoringSSL's spelling.
import type { X509Certificate } from 'node:crypto';
import { canonicalIp } from '#base/cidr.ts';
import { contextTag, type DerElement, DerTag, derElements } from './der.ts';

export interface SubjectAltNames {
  readonly uri: readonly string[];
  readonly dns: readonly string[];
  readonly ip: readonly string[];
  readonly email: readonly string[];
  /** Of these kinds, in the order of the certificate. */
  readonly all: readonly string[];
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

  get allSans(): readonly string[] {
    return this.#sans().all;
  }

  #sans(): SubjectAltNames {
    return (this.#names ??= parseSubjectAltName(this.x509.subjectAltName ?? ''));
  }
}

const certificateBlock =
  /-----BEGIN (?:TRUSTED )?CERTIFICATE-----[\s\S]*?-----END (?:TRUSTED )?CERTIFICATE-----/g;

const keyUsageId = Buffer.from([0x55, 0x1d, 0x0f]);
const subjectAltNameId = Buffer.from([0x55, 0x1d, 0x11]);

/** What stands in an extension (RFC 5280 4.1), of those that Node does not offer; undefined when there is none or it cannot be read. */
function extension({ raw }: X509Certificate, id: Buffer): DerElement | undefined {
  try {
    const [certificate] = derElements(raw);
    const [signed] = derElements(certificate!.content);
    const explicit = derElements(signed!.content).find(({ tag }) => tag === contextTag(3));
    const [list] = explicit === undefined ? [] : derElements(explicit.content);
    for (const { content } of list === undefined ? [] : derElements(list.content)) {
      const parts = derElements(content);
      if (parts[0]!.content.equals(id)) return derElements(parts.at(-1)!.content)[0];
    }
    return undefined;
  } catch {
    // OpenSSL takes a certificate with an extension that cannot be read, too.
    return undefined;
  }
}

/** The first eight bits of the extension; undefined when there is none. */
export function keyUsage(x509: X509Certificate): number | undefined {
  // A BIT STRING begins with how many of its bits are unused.
  return extension(x509, keyUsageId)?.content[1];
}

/** digitalSignature and keyEncipherment of RFC 5280 4.2.1.3. */
const signs = 0x80;
const enciphers = 0x20;

/** Whether its owner may sign what a handshake has signed by it, or, of an RSA key exchange, decrypt what was encrypted for it. */
export function mayBeUsed(x509: X509Certificate, isKeyExchange: boolean): boolean {
  const usage = keyUsage(x509);
  return usage === undefined || (usage & (isKeyExchange ? enciphers : signs)) !== 0;
}

/** The values of names of the kind otherName with this object identifier (its content in DER), as text. Node does not offer them. */
export function otherNames(x509: X509Certificate, id: Buffer): string[] {
  const names = extension(x509, subjectAltNameId);
  if (names === undefined) return [];
  try {
    return derElements(names.content).flatMap(({ tag, content }) => {
      if (tag !== contextTag(0)) return [];
      const [type, explicit] = derElements(content);
      return type!.content.equals(id) ? [valueText(derElements(explicit!.content)[0]!)] : [];
    });
  } catch {
    return [];
  }
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

/** Names a server certificate stands for: its DNS names, or its common name when there is nothing about names of any kind. */
export function serverNames(x509: X509Certificate): readonly string[] {
  if (x509.subjectAltName !== undefined) return parseSubjectAltName(x509.subjectAltName).dns;
  const commonName = /(?:^|\n)CN=(.*)/.exec(x509.subject ?? '')?.[1];
  return commonName === undefined ? [] : [commonName];
}

/** Node's `DNS:a.example.com, IP Address:127.0.0.1`; a text with a comma or the like is a JSON string. */
export function parseSubjectAltName(text: string): SubjectAltNames {
  const names: Record<'uri' | 'dns' | 'ip' | 'email' | 'all', string[]> = {
    uri: [],
    dns: [],
    ip: [],
    email: [],
    all: [],
  };
  for (const [, kind, value] of text.matchAll(/([A-Za-z ]+?):("(?:[^"\\]|\\.)*"|[^,]*)(?:, |$)/g)) {
    const name = value!.startsWith('"') ? (JSON.parse(value!) as string) : value!;
    const list = nodeKinds[kind!];
    if (list === undefined) continue;
    const shown = list === 'ip' ? (canonicalIp(name.toLowerCase()) ?? name) : name;
    names[list].push(shown);
    names.all.push(shown);
  }
  return names;
}

const nodeKinds: Readonly<Record<string, 'uri' | 'dns' | 'ip' | 'email'>> = {
  DNS: 'dns',
  URI: 'uri',
  email: 'email',
  'IP Address': 'ip',
};

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
