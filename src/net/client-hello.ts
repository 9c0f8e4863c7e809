// Reads the first flight of a TLS client without being a TLS server: what the tls_inspector listener filter needs before a
// filter chain is chosen, and the TLS transport before it chooses among its OpenSSL contexts. RFC 8446 4.1.2, RFC 6066 3, RFC 7301.
import { createHash } from 'node:crypto';

export class ClientHello {
  readonly legacyVersion: number;
  /** As it was sent, empty when the client sent none. */
  readonly serverNameAsSent: string;
  readonly sessionId: Buffer;
  readonly ciphers: readonly number[];
  /** Types, in their order. */
  readonly extensions: readonly number[];
  readonly alpn: readonly string[];
  readonly groups: readonly number[];
  readonly pointFormats: readonly number[];
  readonly signatures: readonly number[];
  readonly versions: readonly number[];

  constructor(fields: Omit<ClientHello, 'serverName' | 'ja3' | 'ja4'>) {
    this.legacyVersion = fields.legacyVersion;
    this.serverNameAsSent = fields.serverNameAsSent;
    this.sessionId = fields.sessionId;
    this.ciphers = fields.ciphers;
    this.extensions = fields.extensions;
    this.alpn = fields.alpn;
    this.groups = fields.groups;
    this.pointFormats = fields.pointFormats;
    this.signatures = fields.signatures;
    this.versions = fields.versions;
  }

  get serverName(): string {
    return this.serverNameAsSent.toLowerCase();
  }

  get ja3(): string {
    return ja3(this.legacyVersion, this.ciphers, this.extensions, this.groups, this.pointFormats);
  }

  get ja4(): string {
    const { legacyVersion, versions, ciphers, extensions, signatures, alpn } = this;
    const hasServerName = extensions.includes(Extension.ServerName);
    return ja4(legacyVersion, versions, hasServerName, ciphers, extensions, signatures, alpn);
  }
}

export const HelloStatus = { NeedMore: 0, Done: 1, NotTls: 2, Goodbye: 3 } as const;
export type HelloStatus = (typeof HelloStatus)[keyof typeof HelloStatus];

/** `hello` is there when `status` is `Done`; `bytes` is how much of the input was taken to come to the verdict. */
export interface HelloResult {
  readonly status: HelloStatus;
  readonly bytes: number;
  readonly hello?: ClientHello;
}

const needMore: HelloResult = { status: HelloStatus.NeedMore, bytes: 0 };
const notTls = (bytes: number): HelloResult => ({ status: HelloStatus.NotTls, bytes });

const recordHeader = 5;
const alertRecord = 21;
const handshakeRecord = 22;
const warning = 1;
const closeNotify = 0;
const clientHelloMessage = 1;
/** What BoringSSL waits for; RFC 8446 has 64 bytes less. */
const recordLimit = 16384 + 256 + 64;
const messageLimit = 16384;

/**
 * Looks at everything received so far, from the first byte on. A hello may be spread over several records. As BoringSSL, and so
 * Envoy, it wants a whole record header before it says anything, and then the whole record.
 */
export function inspectClientHello(input: Buffer): HelloResult {
  let at = 0;
  const parts: Buffer[] = [];
  let received = 0;
  let wanted = 0;
  while (true) {
    const body = at + recordHeader;
    if (body > input.length) return needMore;
    const length = input.readUInt16BE(at + 3);
    if (input[at + 1] !== 3 || length === 0 || length > recordLimit) return notTls(body);
    const end = body + length;
    if (end > input.length) return needMore;
    if (input[at] === alertRecord && length === 2 && input[body] === warning) {
      if (input[body + 1] === closeNotify) return { status: HelloStatus.Goodbye, bytes: end };
      at = end;
      continue;
    }
    if (input[at] !== handshakeRecord) return notTls(end);
    parts.push(input.subarray(body, end));
    received += length;
    at = end;
    if (received < 4) continue;
    if (wanted === 0) {
      wanted = 4 + joined(parts).readUIntBE(1, 3);
      if (wanted - 4 > messageLimit) return notTls(end);
    }
    if (received < wanted) continue;
    const message = joined(parts);
    const hello =
      message[0] === clientHelloMessage ? parseClientHello(message.subarray(4, wanted)) : undefined;
    return hello === undefined ? notTls(end) : { status: HelloStatus.Done, bytes: end, hello };
  }
}

function joined(parts: readonly Buffer[]): Buffer {
  return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
}

/** A cursor that runs out softly: reading past the end marks it broken. */
class Reader {
  readonly #bytes: Buffer;
  #at = 0;
  broken = false;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  uint(size: 1 | 2): number {
    if (this.left < size) {
      this.broken = true;
      return 0;
    }
    const value = this.#bytes.readUIntBE(this.#at, size);
    this.#at += size;
    return value;
  }

  bytes(length: number): Buffer {
    if (this.left < length) {
      this.broken = true;
      return this.#bytes.subarray(0, 0);
    }
    const part = this.#bytes.subarray(this.#at, this.#at + length);
    this.#at += length;
    return part;
  }

  vector(lengthSize: 1 | 2): Reader {
    return new Reader(this.bytes(this.uint(lengthSize)));
  }
}

/** Those that somebody asks for. */
export const Extension = {
  ServerName: 0,
  StatusRequest: 5,
  SupportedGroups: 10,
  PointFormats: 11,
  SignatureAlgorithms: 13,
  Alpn: 16,
  SessionTicket: 35,
  SupportedVersions: 43,
} as const;

function parseClientHello(body: Buffer): ClientHello | undefined {
  const reader = new Reader(body);
  const legacyVersion = reader.uint(2);
  reader.bytes(32);
  const sessionId = reader.bytes(reader.uint(1));
  const cipherReader = reader.vector(2);
  const ciphers: number[] = [];
  while (cipherReader.left >= 2) ciphers.push(cipherReader.uint(2));
  reader.bytes(reader.uint(1));
  if (reader.broken || cipherReader.left !== 0 || ciphers.length === 0) return undefined;

  let serverNameAsSent = '';
  const alpn: string[] = [];
  const extensions: number[] = [];
  const groups: number[] = [];
  const pointFormats: number[] = [];
  const signatures: number[] = [];
  const versions: number[] = [];
  if (reader.left > 0) {
    const all = reader.vector(2);
    while (all.left > 0) {
      const type = all.uint(2);
      const data = all.vector(2);
      if (all.broken) return undefined;
      extensions.push(type);
      switch (type) {
        case Extension.ServerName: {
          const names = data.vector(2);
          while (names.left > 0) {
            const kind = names.uint(1);
            const name = names.vector(2);
            const text = name.bytes(name.left).toString('latin1');
            if (kind === 0 && serverNameAsSent === '') serverNameAsSent = text;
          }
          if (names.broken) return undefined;
          break;
        }
        case Extension.Alpn: {
          const protocols = data.vector(2);
          while (protocols.left > 0) {
            const protocol = protocols.bytes(protocols.uint(1));
            if (protocols.broken || protocol.length === 0) return undefined;
            alpn.push(protocol.toString('latin1'));
          }
          break;
        }
        case Extension.SupportedGroups:
          readUint16s(data.vector(2), groups);
          break;
        case Extension.SignatureAlgorithms:
          readUint16s(data.vector(2), signatures);
          break;
        case Extension.SupportedVersions:
          readUint16s(data.vector(1), versions);
          break;
        case Extension.PointFormats: {
          const formats = data.vector(1);
          while (formats.left > 0) pointFormats.push(formats.uint(1));
          break;
        }
        default:
          break;
      }
      if (data.broken) return undefined;
    }
    if (all.broken || reader.broken) return undefined;
  }
  return new ClientHello({
    legacyVersion,
    serverNameAsSent,
    sessionId,
    ciphers,
    extensions,
    alpn,
    groups,
    pointFormats,
    signatures,
    versions,
  });
}

function readUint16s(from: Reader, into: number[]): void {
  while (from.left >= 2) into.push(from.uint(2));
}

/** RFC 8701: values that only test whether servers ignore the unknown. */
function isGrease(value: number): boolean {
  return (value & 0x0f0f) === 0x0a0a && value >> 8 === (value & 0xff);
}

function ja3(
  version: number,
  ciphers: readonly number[],
  extensions: readonly number[],
  groups: readonly number[],
  formats: readonly number[],
): string {
  const list = (values: readonly number[]) => values.filter((it) => !isGrease(it)).join('-');
  // Envoy leaves GREASE in the groups.
  const text = `${version},${list(ciphers)},${list(extensions)},${groups.join('-')},${formats.join('-')}`;
  return createHash('md5').update(text).digest('hex');
}

function ja4(
  legacyVersion: number,
  versions: readonly number[],
  hasServerName: boolean,
  allCiphers: readonly number[],
  allExtensions: readonly number[],
  signatures: readonly number[],
  alpn: readonly string[],
): string {
  const known = versions.filter((it) => !isGrease(it));
  const version = known.length > 0 ? Math.max(...known) : legacyVersion;
  const versionText = { 772: '13', 771: '12', 770: '11', 769: '10' }[version] ?? '00';
  const ciphers = allCiphers.filter((it) => !isGrease(it));
  const extensions = allExtensions.filter((it) => !isGrease(it));
  const count = (values: readonly number[]) => String(Math.min(values.length, 99)).padStart(2, '0');
  const hex = (values: readonly number[]) => values.map((it) => it.toString(16).padStart(4, '0'));
  const digest = (text: string) =>
    text === '' ? '000000000000' : createHash('sha256').update(text).digest('hex').slice(0, 12);

  const sortedExtensions = hex(
    extensions.filter((it) => it !== Extension.ServerName && it !== Extension.Alpn),
  ).sort();
  const hashed = hex(signatures);
  const extensionText =
    hashed.length === 0 ? sortedExtensions.join(',') : `${sortedExtensions.join(',')}_${hashed.join(',')}`;
  return [
    `t${versionText}${hasServerName ? 'd' : 'i'}${count(ciphers)}${count(extensions)}${alpnMark(alpn[0])}`,
    digest(hex(ciphers).sort().join(',')),
    digest(sortedExtensions.length === 0 ? '' : extensionText),
  ].join('_');
}

/** First and last character of the first protocol; for other than letters and digits, those of its bytes in hexadecimal. */
function alpnMark(protocol: string | undefined): string {
  if (protocol === undefined) return '00';
  const first = protocol[0]!;
  const last = protocol[protocol.length - 1]!;
  if (/[0-9A-Za-z]/.test(first) && /[0-9A-Za-z]/.test(last)) return first + last;
  const hexText = Buffer.from(protocol, 'latin1').toString('hex');
  return hexText[0]! + hexText[hexText.length - 1]!;
}
