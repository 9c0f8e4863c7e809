// Addresses as plain data, from the `Address` message.
import { canonicalIp } from '#base/cidr.ts';
import type { ParseContext } from '#config/parse-context.ts';
import type { Address, Pipe } from '#schema/messages/envoy/config/core/v3.ts';

export interface SocketAddressData {
  /** IP address or host name; the path of a Unix socket when `port` is -1 (abstract ones start with `@`). */
  readonly address: string;
  readonly port: number;
  /** Unix sockets: permission bits, 0 leaves them. */
  readonly mode: number;
  /** An IPv6 wildcard that takes IPv4 too. */
  readonly ipv4Compat: boolean;
  readonly isUdp: boolean;
}

export function parseAddress(message: Address | undefined, at: ParseContext): SocketAddressData | undefined {
  if (message?.pipe !== undefined) return parsePipe(message.pipe, at.field('pipe'));
  const socket = message?.socket_address;
  if (socket === undefined) {
    if (message?.envoy_internal_address !== undefined) at.field('envoy_internal_address').unsupported();
    else at.fail('needs one of: socket_address, pipe');
    return undefined;
  }
  const here = at.field('socket_address');
  if (socket.named_port !== undefined) {
    const envoy = "IP resolver can't handle port specifier type 4";
    here.field('named_port').fail('ports have numbers here, not names', { got: socket.named_port, envoy });
  }
  if (socket.resolver_name !== '') here.field('resolver_name').unsupported();
  if (socket.network_namespace_filepath !== '') here.field('network_namespace_filepath').unsupported();
  return {
    address: canonical(socket.address),
    port: socket.port_value ?? 0,
    mode: 0,
    ipv4Compat: socket.ipv4_compat,
    isUdp: socket.protocol === 'UDP',
  };
}

/** An IPv4 address that was written as an IPv6 one stays one: it is another kind of socket. */
function canonical(text: string): string {
  const ip = canonicalIp(text) ?? text;
  return text.includes(':') && !ip.includes(':') ? `::ffff:${ip}` : ip;
}

/** `sun_path` of `struct sockaddr_un`, with its zero byte. */
const pathLimit = 108;

function parsePipe({ path, mode }: Pipe, at: ParseContext): SocketAddressData {
  if (Buffer.byteLength(path) >= pathLimit) {
    const envoy = `Path "${path}" exceeds maximum UNIX domain socket path size of ${pathLimit}.`;
    at.field('path').fail(envoy, { envoy });
  }
  if (path.startsWith('@') && mode !== 0) {
    const envoy = 'Cannot set mode for Abstract AF_UNIX sockets';
    at.field('mode').fail(envoy, { envoy });
  }
  return { address: path, port: -1, mode, ipv4Compat: false, isUdp: false };
}
