// Addresses as plain data, from the `Address` message.
import { canonicalIp } from '#base/cidr.ts';
import type { ParseContext } from '#config/parse-context.ts';
import type { Address } from '#schema/messages/envoy/config/core/v3.ts';

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
  if (message?.pipe !== undefined)
    return { address: message.pipe.path, port: -1, mode: message.pipe.mode, ipv4Compat: false, isUdp: false };
  const socket = message?.socket_address;
  if (socket === undefined) {
    if (message?.envoy_internal_address !== undefined) at.field('envoy_internal_address').unsupported();
    else at.fail('needs one of: socket_address, pipe');
    return undefined;
  }
  const here = at.field('socket_address');
  if (socket.named_port !== undefined) here.field('named_port').unsupported();
  if (socket.resolver_name !== '') here.field('resolver_name').unsupported();
  if (socket.network_namespace_filepath !== '') here.field('network_namespace_filepath').unsupported();
  return {
    address: canonicalIp(socket.address) ?? socket.address,
    port: socket.port_value ?? 0,
    mode: 0,
    ipv4Compat: socket.ipv4_compat,
    isUdp: socket.protocol === 'UDP',
  };
}
