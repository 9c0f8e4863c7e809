// IP addresses and ranges of them, as text in and numbers inside. An IPv4 address mapped into IPv6 (`::ffff:1.2.3.4`) is the
// IPv4 one, as Envoy takes it.

/** The address as four 32-bit words; IPv4 fills only the last and says so. Reused by every parse: read it before the next one. */
const words = new Uint32Array(4);

/** 4, 6, or 0 when `text` is no IP address. Leaves the address in `words`. */
function parseInto(text: string): 4 | 6 | 0 {
  if (text.indexOf(':') >= 0) return parseIpv6(text);
  const value = ipv4Number(text, 0);
  if (value < 0) return 0;
  words[0] = words[1] = words[2] = 0;
  words[3] = value;
  return 4;
}

/** The IPv4 address from `start` to the end as an unsigned 32-bit number, or -1. */
export function ipv4Number(text: string, start = 0): number {
  let value = 0;
  let octet = -1;
  let octets = 0;
  for (let i = start; i <= text.length; i++) {
    const c = i < text.length ? text.charCodeAt(i) : 0x2e;
    if (c === 0x2e) {
      if (octet < 0) return -1;
      value = value * 256 + octet;
      octet = -1;
      if (++octets === 4 && i < text.length) return -1;
    } else if (c >= 0x30 && c <= 0x39) {
      if (octet === 0) return -1; // no leading zeros
      octet = octet < 0 ? c - 0x30 : octet * 10 + c - 0x30;
      if (octet > 255) return -1;
    } else return -1;
  }
  return octets === 4 ? value : -1;
}

const groups = new Uint16Array(8);

function parseIpv6(text: string): 4 | 6 | 0 {
  groups.fill(0);
  let at = 0;
  let gap = -1;
  let i = 0;
  if (text.startsWith('::')) {
    gap = 0;
    i = 2;
  }
  while (i < text.length) {
    if (at === 8) return 0;
    let value = 0;
    let digits = 0;
    let end = i;
    for (; end < text.length; end++) {
      const digit = hexDigit(text.charCodeAt(end));
      if (digit < 0) break;
      value = value * 16 + digit;
      if (++digits > 4) break;
    }
    if (text[end] === '.') {
      const four = at <= 6 ? ipv4Number(text, i) : -1;
      if (four < 0) return 0;
      groups[at++] = four >>> 16;
      groups[at++] = four & 0xffff;
      i = text.length;
      break;
    }
    if (digits === 0 || digits > 4) return 0;
    groups[at++] = value;
    if (end === text.length) {
      i = end;
      break;
    }
    if (text[end] !== ':') return 0;
    i = end + 1;
    if (text[i] === ':') {
      if (gap >= 0) return 0;
      gap = at;
      i++;
    } else if (i === text.length) return 0;
  }
  if (gap < 0 && at !== 8) return 0;
  if (gap >= 0) {
    if (at === 8) return 0;
    const moved = at - gap;
    for (let k = 1; k <= moved; k++) {
      groups[8 - k] = groups[at - k]!;
      groups[at - k] = 0;
    }
  }
  for (let k = 0; k < 4; k++) words[k] = groups[2 * k]! * 65536 + groups[2 * k + 1]!;
  if (words[0] === 0 && words[1] === 0 && words[2] === 0xffff) {
    words[2] = 0;
    return 4;
  }
  return 6;
}

function hexDigit(c: number): number {
  if (c >= 0x30 && c <= 0x39) return c - 0x30;
  const lower = c | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

/** 4 or 6; 0 when `text` is no IP address. */
export function ipVersion(text: string): 4 | 6 | 0 {
  return parseInto(text);
}

/** The canonical text (RFC 5952); undefined when `text` is no IP address. */
export function canonicalIp(text: string): string | undefined {
  const version = parseInto(text);
  if (version === 0) return undefined;
  return version === 4 ? ipv4Text(words[3]!) : ipv6Text(words);
}

/** The address as it is sent: 4 or 16 bytes, none when `text` is no IP address. */
export function ipBytes(text: string): Uint8Array {
  const version = parseInto(text);
  const bytes = new Uint8Array(version === 0 ? 0 : version === 4 ? 4 : 16);
  const first = (16 - bytes.length) / 4;
  for (let i = 0; i < bytes.length; i++) bytes[i] = words[first + (i >> 2)]! >>> (24 - 8 * (i & 3));
  return bytes;
}

/** The address with all but the first `prefixLength` bits zero, in canonical text. */
export function maskedIp(text: string, prefixLength: number): string | undefined {
  const version = parseInto(text);
  if (version === 0) return undefined;
  const offset = version === 4 ? 96 : 0;
  for (let i = 0; i < 4; i++) words[i]! &= maskOf(prefixLength + offset, i);
  return version === 4 ? ipv4Text(words[3]!) : ipv6Text(words);
}

function ipv4Text(value: number): string {
  return `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}`;
}

function ipv6Text(from: Uint32Array): string {
  const parts: number[] = [];
  for (let i = 0; i < 4; i++) parts.push(from[i]! >>> 16, from[i]! & 0xffff);
  let best = -1;
  let bestLength = 1;
  for (let i = 0; i < 8; i++) {
    let length = 0;
    while (i + length < 8 && parts[i + length] === 0) length++;
    if (length > bestLength) {
      best = i;
      bestLength = length;
    }
  }
  const text = (list: readonly number[]) => list.map((it) => it.toString(16)).join(':');
  return best < 0 ? text(parts) : `${text(parts.slice(0, best))}::${text(parts.slice(best + bestLength))}`;
}

/** Of a prefix of `length` bits of 128: the mask of word `i`. */
function maskOf(length: number, i: number): number {
  const bits = Math.min(Math.max(length - 32 * i, 0), 32);
  return bits === 0 ? 0 : (0xffffffff << (32 - bits)) >>> 0;
}

/** A range of addresses. */
export class Cidr {
  readonly version: 4 | 6;
  readonly prefixLength: number;
  readonly #words = new Uint32Array(4);
  readonly #masks = new Uint32Array(4);

  private constructor(version: 4 | 6, prefixLength: number) {
    this.version = version;
    this.prefixLength = prefixLength;
    const offset = version === 4 ? 96 : 0;
    for (let i = 0; i < 4; i++) {
      this.#masks[i] = maskOf(prefixLength + offset, i);
      this.#words[i] = words[i]! & this.#masks[i]!;
    }
  }

  /** Undefined when `address` is none or `prefixLength` is longer than it. */
  static of(address: string, prefixLength: number): Cidr | undefined {
    const version = parseInto(address);
    if (version === 0 || prefixLength < 0 || prefixLength > (version === 4 ? 32 : 128)) return undefined;
    return new Cidr(version, prefixLength);
  }

  /** `10.0.0.0/8`; a bare address is a range of one. */
  static parse(text: string): Cidr | undefined {
    const slash = text.indexOf('/');
    const address = slash < 0 ? text : text.slice(0, slash);
    const length = slash < 0 ? (ipVersion(address) === 4 ? 32 : 128) : Number(text.slice(slash + 1));
    return Number.isInteger(length) ? Cidr.of(address, length) : undefined;
  }

  contains(ip: string): boolean {
    return parseInto(ip) === this.version && this.containsParsed();
  }

  /** For `CidrList`: the address that was parsed last. */
  containsParsed(): boolean {
    for (let i = 0; i < 4; i++) if ((words[i]! & this.#masks[i]!) >>> 0 !== this.#words[i]) return false;
    return true;
  }

  /** In canonical text: `10.0.0.0/8`. */
  toString(): string {
    return `${this.version === 4 ? ipv4Text(this.#words[3]!) : ipv6Text(this.#words)}/${this.prefixLength}`;
  }
}

/** Several ranges: the address is parsed once. */
export class CidrList {
  readonly #ranges: readonly Cidr[];

  constructor(ranges: readonly Cidr[]) {
    this.#ranges = ranges;
  }

  contains(ip: string): boolean {
    const ranges = this.#ranges;
    if (ranges.length === 0) return false;
    const version = parseInto(ip);
    for (let i = 0; i < ranges.length; i++) {
      if (ranges[i]!.version === version && ranges[i]!.containsParsed()) return true;
    }
    return false;
  }
}

/** The IP address in `1.2.3.4:80` or `[::1]:80`; the text itself when it has no port (a Unix socket path, a bare address). */
export function ipOfAddress(address: string): string {
  if (address.charCodeAt(0) === 0x5b) {
    const end = address.indexOf(']');
    return end < 0 ? address : address.slice(1, end);
  }
  const colon = address.lastIndexOf(':');
  return colon < 0 || address.indexOf(':') !== colon ? address : address.slice(0, colon);
}

/** The port in `1.2.3.4:80` or `[::1]:80`; 0 when there is none. */
export function portOfAddress(address: string): number {
  const colon = address.lastIndexOf(':');
  if (colon < 0 || (address.indexOf(':') !== colon && address.charCodeAt(colon - 1) !== 0x5d)) return 0;
  const port = Number(address.slice(colon + 1));
  return Number.isInteger(port) ? port : 0;
}
