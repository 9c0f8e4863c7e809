// What Node's own modules cannot do with sockets, by the C library: where a redirected connection wanted to go, options of sockets,
// a second descriptor for a socket. `node:ffi` is loaded when a configuration asks for one of these, not before.
import { getSystemErrorName } from 'node:util';
import { addressText } from '#base/address-text.ts';
import { canonicalIp } from '#base/cidr.ts';
import { foreignFunctions } from '#base/foreign-functions.ts';

/** Sockets are known by their descriptors here. Failures are thrown with a `code`, as Node's own modules do. */
export interface NativeSockets {
  /** `ip:port` before a REDIRECT or DNAT rule changed it; undefined when none did. */
  originalDestination(descriptor: number, isIpv6: boolean): string | undefined;
  /** Whether `descriptor`, or the socket that accepted it, takes connections for addresses of others (IP_TRANSPARENT). */
  isTransparent(descriptor: number, isIpv6: boolean): boolean;
  /** A new socket that is bound, with options set before. It does not listen yet. */
  bind(address: BindAddress, options: readonly SocketOption[]): number;
  /** Of a bound socket. */
  setOption(descriptor: number, option: SocketOption): void;
  duplicate(descriptor: number): number;
  close(descriptor: number): void;
}

export interface BindAddress {
  /** IP address, or the path of a Unix socket when `port` is negative (abstract ones start with a zero byte). */
  readonly address: string;
  readonly port: number;
  readonly isIpv6Only: boolean;
  readonly isMultipath: boolean;
}

export interface SocketOption {
  readonly level: number;
  readonly name: number;
  readonly value: number | Uint8Array;
  /** As logs name it: `IPPROTO_IP/IP_TRANSPARENT`, `1/15`. */
  readonly label: string;
}

/** `setsockopt` failed. */
export class SocketOptionError extends Error {
  override readonly name = 'SocketOptionError';
  /** `EPERM` */
  readonly code: string;
  readonly option: SocketOption;

  readonly isBound: boolean;

  constructor(option: SocketOption, code: string, isBound: boolean) {
    super(`setting ${option.label}: ${code}`);
    this.option = option;
    this.code = code;
    this.isBound = isBound;
  }
}

let sockets: NativeSockets | undefined;

/** Throws where there is no such door: another system than Linux, a Node without `node:ffi`. */
export function nativeSockets(): NativeSockets {
  return (sockets ??= open());
}

/** For those who can do without. */
export function hasNativeSockets(): boolean {
  try {
    nativeSockets();
    return true;
  } catch {
    return false;
  }
}

function open(): NativeSockets {
  const ffi = foreignFunctions();
  if (ffi === undefined) throw new Error('needs Linux and a Node with node:ffi (26.1 or newer)');
  const { functions: libc } = ffi.dlopen(null, {
    socket: { arguments: ['i32', 'i32', 'i32'], return: 'i32' },
    bind: { arguments: ['i32', 'pointer', 'u32'], return: 'i32' },
    getsockopt: { arguments: ['i32', 'i32', 'i32', 'pointer', 'pointer'], return: 'i32' },
    setsockopt: { arguments: ['i32', 'i32', 'i32', 'pointer', 'u32'], return: 'i32' },
    fcntl: { arguments: ['i32', 'i32', 'i32'], return: 'i32' },
    close: { arguments: ['i32'], return: 'i32' },
    __errno_location: { arguments: [], return: 'pointer' },
  });
  const lastError = () => getSystemErrorName(-ffi.getInt32(libc.__errno_location()));
  const failed = (call: string) => {
    const code = lastError();
    return Object.assign(new Error(`${call} ${code}`), { code });
  };
  const getOption = (descriptor: number, level: number, name: number, value: Buffer) =>
    libc.getsockopt(descriptor, level, name, value, int32(value.length)) === 0;

  function set(descriptor: number, option: SocketOption, isBound: boolean): void {
    const { level, name, value } = option;
    const bytes = typeof value === 'number' ? int32(value) : value;
    if (libc.setsockopt(descriptor, level, name, bytes, bytes.length) < 0)
      throw new SocketOptionError(option, lastError(), isBound);
  }

  return {
    setOption: (descriptor, option) => set(descriptor, option, true),

    originalDestination(descriptor, isIpv6) {
      const address = Buffer.alloc(28);
      const isFound = getOption(descriptor, isIpv6 ? Level.Ipv6 : Level.Ip, originalDst, address);
      return isFound ? readSocketAddress(address) : undefined;
    },

    isTransparent(descriptor, isIpv6) {
      const value = int32(0);
      const { level, name } = isIpv6 ? ipv6Transparent : ipTransparent;
      return getOption(descriptor, level, name, value) && value.readInt32LE() !== 0;
    },

    bind({ address, port, isIpv6Only, isMultipath }, options) {
      const name = port < 0 ? unixAddress(address) : socketAddress(address, port);
      const family = name.readUInt16LE();
      const kind = stream | closeOnExec | nonBlocking;
      const descriptor = libc.socket(family, kind, isMultipath ? multipath : 0);
      if (descriptor < 0) throw failed('socket');
      try {
        if (family !== unix) set(descriptor, { ...reuseAddress, value: 1 }, false);
        if (family === inet6) set(descriptor, { ...ipv6Only, value: isIpv6Only ? 1 : 0 }, false);
        for (const it of options) set(descriptor, it, false);
        if (libc.bind(descriptor, name, name.length) < 0) throw failed('bind');
        return descriptor;
      } catch (error) {
        libc.close(descriptor);
        throw error;
      }
    },

    duplicate(descriptor) {
      const copy = libc.fcntl(descriptor, duplicateCloseOnExec, 0);
      if (copy < 0) throw failed('fcntl');
      return copy;
    },

    close(descriptor) {
      libc.close(descriptor);
    },
  };
}

// Linux, the same on x64 and arm64.
export const Level = { Ip: 0, Socket: 1, Tcp: 6, Ipv6: 41 } as const;
export const ipTransparent = { level: Level.Ip, name: 19, label: 'IPPROTO_IP/IP_TRANSPARENT' };
export const ipv6Transparent = { level: Level.Ipv6, name: 75, label: 'IPPROTO_IPV6/IPV6_TRANSPARENT' };
export const ipFreebind = { level: Level.Ip, name: 15, label: 'IPPROTO_IP/IP_FREEBIND' };
export const ipv6Freebind = { level: Level.Ipv6, name: 78, label: 'IPPROTO_IPV6/IPV6_FREEBIND' };
export const reusePort = { level: Level.Socket, name: 15, label: 'SOL_SOCKET/SO_REUSEPORT' };
export const keepAlive = { level: Level.Socket, name: 9, label: 'SOL_SOCKET/SO_KEEPALIVE' };
export const keepAliveTime = { level: Level.Tcp, name: 4, label: 'IPPROTO_TCP/TCP_KEEPIDLE' };
export const keepAliveInterval = { level: Level.Tcp, name: 5, label: 'IPPROTO_TCP/TCP_KEEPINTVL' };
export const keepAliveProbes = { level: Level.Tcp, name: 6, label: 'IPPROTO_TCP/TCP_KEEPCNT' };
export const fastOpen = { level: Level.Tcp, name: 23, label: 'IPPROTO_TCP/TCP_FASTOPEN' };
const reuseAddress = { level: Level.Socket, name: 2, label: 'SOL_SOCKET/SO_REUSEADDR' };
const ipv6Only = { level: Level.Ipv6, name: 26, label: 'IPPROTO_IPV6/IPV6_V6ONLY' };
const unix = 1;
const inet = 2;
const inet6 = 10;
const stream = 1;
const nonBlocking = 0o4000;
const closeOnExec = 0o2000000;
const multipath = 262;
/** SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST. */
const originalDst = 80;
/** F_DUPFD_CLOEXEC */
const duplicateCloseOnExec = 1030;

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return bytes;
}

/** `struct sockaddr_un`; the length ends an abstract name, a zero byte a path. */
function unixAddress(path: string): Buffer {
  const end = path.startsWith('\0') ? '' : '\0';
  const bytes = Buffer.from(`\0\0${path}${end}`, 'utf8');
  bytes.writeUInt16LE(unix, 0);
  return bytes;
}

/** `struct sockaddr_in` or `sockaddr_in6`. */
function socketAddress(ip: string, port: number): Buffer {
  const bytes = Buffer.alloc(ip.includes(':') ? 28 : 16);
  bytes.writeUInt16LE(bytes.length === 28 ? inet6 : inet, 0);
  bytes.writeUInt16BE(port, 2);
  if (bytes.length === 16) for (const [i, part] of ip.split('.').entries()) bytes[4 + i] = Number(part);
  else for (const [i, group] of ipv6Groups(ip).entries()) bytes.writeUInt16BE(group, 8 + i * 2);
  return bytes;
}

function readSocketAddress(bytes: Buffer): string {
  const port = bytes.readUInt16BE(2);
  if (bytes.readUInt16LE(0) === inet) return addressText(bytes.subarray(4, 8).join('.'), port);
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(8 + i * 2).toString(16)).join(':');
  return addressText(canonicalIp(groups)!, port);
}

/** Of a canonical address. */
function ipv6Groups(ip: string): number[] {
  const [head = '', tail] = ip.split('::');
  const groups = (text: string) => (text === '' ? [] : text.split(':').map((it) => Number.parseInt(it, 16)));
  const first = groups(head);
  const last = tail === undefined ? [] : groups(tail);
  return [...first, ...new Array<number>(8 - first.length - last.length).fill(0), ...last];
}
