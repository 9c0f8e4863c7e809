// The PROXY protocol, versions 1 and 2, both ways: bytes in, addresses out, and the reverse. Followed by the proxy_protocol
// listener filter (downstream) and the upstream_proxy_protocol transport socket.

import { isIPv4 as isIpv4, isIPv6 as isIpv6 } from 'node:net';

export interface ProxyHeader {
  readonly version: 1 | 2;
  /** LOCAL (v2) or UNKNOWN (v1): the connection keeps its own addresses. */
  readonly isLocal: boolean;
  readonly sourceAddress: string;
  readonly sourcePort: number;
  readonly destinationAddress: string;
  readonly destinationPort: number;
  readonly tlvs: readonly ProxyTlv[];
}

export interface ProxyTlv {
  readonly type: number;
  readonly value: Buffer;
}

export const ProxyStatus = { NeedMore: 0, Done: 1, Absent: 2, Invalid: 3, Endless: 4 } as const;
export type ProxyStatus = (typeof ProxyStatus)[keyof typeof ProxyStatus];

export interface ProxyResult {
  readonly status: ProxyStatus;
  /** Bytes of the header, when `Done`. */
  readonly bytes: number;
  readonly header?: ProxyHeader;
  /** What is wrong, when `Invalid` or `Endless`. */
  readonly problem?: string;
}

const signature2 = Buffer.from([0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]);
const signature1 = Buffer.from('PROXY ', 'latin1');
/** From so many bytes on it is certain that they are no header. */
export const shortest2 = 16;
/** The longest line of version 1, with its CRLF. */
const line1Limit = 108;
/** As far as Envoy looks: the longest header of version 2. */
const mostLooked = 232;

const needMore: ProxyResult = { status: ProxyStatus.NeedMore, bytes: 0 };
const absent: ProxyResult = { status: ProxyStatus.Absent, bytes: 0 };
const endless: ProxyResult = {
  status: ProxyStatus.Endless,
  bytes: 0,
  problem: 'no end of line within 108 bytes',
};
const invalid = (problem: string): ProxyResult => ({ status: ProxyStatus.Invalid, bytes: 0, problem });

/** Looks at everything received so far. `Absent` as soon as the bytes cannot be a header any more. */
export function readProxyHeader(input: Buffer): ProxyResult {
  if (startsLike(input, signature2)) return input.length < shortest2 ? needMore : readVersion2(input);
  if (startsLike(input, signature1)) return readVersion1(input);
  return absent;
}

/** Which version a header is of, if it is one: known before it is complete. 0: it has to be seen. */
export function proxyVersion(input: Buffer): 0 | 1 | 2 {
  if (input.length >= shortest2 && startsLike(input, signature2)) return 2;
  const end = input.subarray(0, line1Limit).indexOf('\r\n', 0, 'latin1');
  if (end < 1) return 0;
  // So short, Envoy takes any line for one.
  return input.length < shortest2 || startsLike(input, signature1) ? 1 : 0;
}

function startsLike(input: Buffer, signature: Buffer): boolean {
  const length = Math.min(input.length, signature.length);
  return input.compare(signature, 0, length, 0, length) === 0;
}

function readVersion1(input: Buffer): ProxyResult {
  const end = input.subarray(0, mostLooked).indexOf('\r\n', 0, 'latin1');
  if (end < 0) return input.length > line1Limit ? endless : needMore;
  if (end + 2 > line1Limit) return invalid('a line of more than 108 bytes');
  const line = input.toString('latin1', 0, end).trimEnd();
  const bytes = end + 2;
  const [, family, source = '', destination = '', sourcePort = '', destinationPort = '', ...rest] =
    line.split(' ');
  if (family === 'UNKNOWN') {
    return { status: ProxyStatus.Done, bytes, header: local(1) };
  }
  if (family !== 'TCP4' && family !== 'TCP6') return invalid(`unknown protocol "${family}"`);
  if (rest.length > 0 || !isPort(sourcePort) || !isPort(destinationPort))
    return invalid(`malformed line "${line}"`);
  const isAddress = family === 'TCP4' ? isIpv4 : isIpv6;
  if (!isAddress(source) || !isAddress(destination)) return invalid(`malformed address in "${line}"`);
  if (!isOfOne(source) || !isOfOne(destination)) return invalid(`not an address of one host in "${line}"`);
  return {
    status: ProxyStatus.Done,
    bytes,
    header: {
      version: 1,
      isLocal: false,
      sourceAddress: source,
      sourcePort: Number(sourcePort),
      destinationAddress: destination,
      destinationPort: Number(destinationPort),
      tlvs: [],
    },
  };
}

function readVersion2(input: Buffer): ProxyResult {
  const version = input[12]! >> 4;
  const command = input[12]! & 0x0f;
  if (version !== 2) return invalid(`unsupported version ${version}`);
  if (command > 1) return invalid(`unsupported command ${command}`);
  const family = input[13]! >> 4;
  const transport = input[13]! & 0x0f;
  const length = input.readUInt16BE(14);
  const bytes = 16 + length;
  const addressBytes = family === 1 ? 12 : family === 2 ? 36 : family === 3 ? 216 : 0;
  if (command === 1 && ((transport !== 1 && transport !== 2) || (family !== 1 && family !== 2))) {
    return invalid(`unsupported address family ${family} or transport ${transport}`);
  }
  if (command === 1 && length < addressBytes) return invalid(`${length} bytes are too few for the addresses`);
  if (input.length < bytes) return needMore;
  // Whatever such a header has besides is not looked at.
  if (command === 0) return { status: ProxyStatus.Done, bytes, header: local(2) };

  const tlvs: ProxyTlv[] = [];
  let at = 16 + Math.min(addressBytes, length);
  while (at < bytes) {
    if (at + 3 > bytes) return invalid('truncated TLV');
    const valueLength = input.readUInt16BE(at + 1);
    if (at + 3 + valueLength > bytes) return invalid('TLV longer than the header');
    tlvs.push({ type: input[at]!, value: input.subarray(at + 3, at + 3 + valueLength) });
    at += 3 + valueLength;
  }
  const size = family === 1 ? 4 : 16;
  const ports = 16 + 2 * size;
  const sourceAddress = addressText(input.subarray(16, 16 + size));
  const destinationAddress = addressText(input.subarray(16 + size, 16 + 2 * size));
  if (!isOfOne(sourceAddress) || !isOfOne(destinationAddress)) return invalid('not an address of one host');
  return {
    status: ProxyStatus.Done,
    bytes,
    header: {
      version: 2,
      isLocal: false,
      sourceAddress,
      sourcePort: input.readUInt16BE(ports),
      destinationAddress,
      destinationPort: input.readUInt16BE(ports + 2),
      tlvs,
    },
  };
}

/** Not of all, of many or of none: connections come from one host and go to one. */
function isOfOne(address: string): boolean {
  if (address.includes(':')) return !/^ff/i.test(address) && address !== '::';
  const first = Number(address.slice(0, address.indexOf('.')));
  return (first < 224 || first > 239) && address !== '255.255.255.255' && address !== '0.0.0.0';
}

function local(version: 1 | 2): ProxyHeader {
  return {
    version,
    isLocal: true,
    sourceAddress: '',
    sourcePort: 0,
    destinationAddress: '',
    destinationPort: 0,
    tlvs: [],
  };
}

/** Both addresses must be IP addresses; a pair of different families is written as IPv6 with the IPv4 one mapped. */
export function writeProxyHeader(header: ProxyHeader): Buffer {
  return header.version === 1 ? writeVersion1(header) : writeVersion2(header);
}

function writeVersion1(header: ProxyHeader): Buffer {
  if (header.isLocal) return Buffer.from('PROXY UNKNOWN\r\n', 'latin1');
  const six = !isIpv4(header.sourceAddress) || !isIpv4(header.destinationAddress);
  const text = (address: string) => (six && isIpv4(address) ? `::ffff:${address}` : address);
  return Buffer.from(
    `PROXY ${six ? 'TCP6' : 'TCP4'} ${text(header.sourceAddress)} ${text(header.destinationAddress)} ${header.sourcePort} ${header.destinationPort}\r\n`,
    'latin1',
  );
}

function writeVersion2(header: ProxyHeader): Buffer {
  const six = !header.isLocal && (!isIpv4(header.sourceAddress) || !isIpv4(header.destinationAddress));
  const size = header.isLocal ? 0 : six ? 16 : 4;
  const addressBytes = header.isLocal ? 0 : 2 * size + 4;
  let tlvBytes = 0;
  for (const { value } of header.tlvs) tlvBytes += 3 + value.length;
  const out = Buffer.alloc(16 + addressBytes + tlvBytes);
  signature2.copy(out);
  out[12] = header.isLocal ? 0x20 : 0x21;
  out[13] = header.isLocal ? 0 : six ? 0x21 : 0x11;
  out.writeUInt16BE(addressBytes + tlvBytes, 14);
  let at = 16;
  if (!header.isLocal) {
    addressOctets(header.sourceAddress, size).copy(out, at);
    addressOctets(header.destinationAddress, size).copy(out, at + size);
    out.writeUInt16BE(header.sourcePort, at + 2 * size);
    out.writeUInt16BE(header.destinationPort, at + 2 * size + 2);
    at += addressBytes;
  }
  for (const { type, value } of header.tlvs) {
    out[at] = type;
    out.writeUInt16BE(value.length, at + 1);
    value.copy(out, at + 3);
    at += 3 + value.length;
  }
  return out;
}

function addressText(octets: Buffer): string {
  if (octets.length === 4) return octets.join('.');
  const groups: string[] = [];
  for (let i = 0; i < 16; i += 2) groups.push(octets.readUInt16BE(i).toString(16));
  // The URL parser writes the canonical short form (RFC 5952).
  return new URL(`http://[${groups.join(':')}]/`).hostname.slice(1, -1);
}

function addressOctets(address: string, size: number): Buffer {
  if (isIpv4(address)) {
    const four = Buffer.from(address.split('.').map(Number));
    return size === 4 ? four : Buffer.concat([Buffer.from('00000000000000000000ffff', 'hex'), four]);
  }
  const full = new URL(`http://[${address}]/`).hostname.slice(1, -1);
  const [head = '', tail] = full.split('::');
  const before = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? 0 : 8 - before.length - after.length;
  const out = Buffer.alloc(16);
  [...before, ...Array(zeros).fill('0'), ...after].forEach((group: string, i) => {
    out.writeUInt16BE(Number.parseInt(group, 16), 2 * i);
  });
  return out;
}

function isPort(text: string): boolean {
  return /^\d{1,5}$/.test(text) && Number(text) <= 65535;
}
