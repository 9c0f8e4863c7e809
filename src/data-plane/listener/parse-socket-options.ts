// What a listener wants of its sockets beyond an address: `socket_options`, `tcp_keepalive`, `transparent`, `freebind` and others.
import type { ParseContext } from '#config/parse-context.ts';
import { onlyFields } from '#extension/message-fields.ts';
import type { ListenSocketOptions } from '#net/listening-socket.ts';
import {
  fastOpen,
  ipFreebind,
  ipTransparent,
  ipv6Freebind,
  ipv6Transparent,
  keepAlive,
  keepAliveInterval,
  keepAliveProbes,
  keepAliveTime,
  nativeSockets,
  type SocketOption,
} from '#net/native-sockets.ts';
import type {
  SocketOption as SocketOptionMessage,
  TcpKeepalive,
} from '#schema/messages/envoy/config/core/v3.ts';
import type { Listener } from '#schema/messages/envoy/config/listener/v3.ts';
import type { SocketAddressData } from '../address.ts';

/** Of one address: an additional one may have its own. */
export interface OwnSocketOptions {
  readonly socketOptions: readonly SocketOptionMessage[];
  readonly keepAlive: TcpKeepalive | undefined;
}

/** Undefined when Node can do all that is asked for. */
export function parseSocketOptions(
  message: Listener,
  { socketOptions, keepAlive: alive }: OwnSocketOptions,
  address: SocketAddressData,
  at: ParseContext,
): ListenSocketOptions | undefined {
  const beforeBind: SocketOption[] = [];
  const afterBind: SocketOption[] = [];
  const afterListen: SocketOption[] = [];
  const isIpv6 = address.address.includes(':');
  const needsIp = (field: string) => {
    if (address.port < 0)
      at.field(field).fail('a Unix socket has no such option', {
        envoy: `${message.name}: Setting socket options failed`,
      });
  };
  if (message.transparent !== undefined) {
    needsIp('transparent');
    const option = { ...(isIpv6 ? ipv6Transparent : ipTransparent), value: message.transparent ? 1 : 0 };
    beforeBind.push(option);
    afterBind.push(option);
  }
  if (message.freebind !== undefined) {
    needsIp('freebind');
    beforeBind.push({ ...(isIpv6 ? ipv6Freebind : ipFreebind), value: message.freebind ? 1 : 0 });
  }
  // Node itself knows the time of the first probe.
  if (alive?.keepalive_probes !== undefined || alive?.keepalive_interval !== undefined) {
    beforeBind.push({ ...keepAlive, value: 1 });
    beforeBind.push(...optional(keepAliveProbes, alive.keepalive_probes));
    beforeBind.push(...optional(keepAliveTime, alive.keepalive_time));
    beforeBind.push(...optional(keepAliveInterval, alive.keepalive_interval));
  }
  afterListen.push(...optional(fastOpen, message.tcp_fast_open_queue_length));
  socketOptions.forEach((it, i) => {
    const here = at.field('socket_options', i);
    onlyFields(it, here, [
      'description',
      'level',
      'name',
      'int_value',
      'buf_value',
      'state',
      'type',
      'ip_version',
    ]);
    // Some are for sockets of another kind.
    if (it.type !== undefined && (it.type.stream === undefined) !== address.isUdp) return;
    if (it.ip_version === (isIpv6 ? 'SOCKET_IP_VERSION_IPV4' : 'SOCKET_IP_VERSION_IPV6')) return;
    const option: SocketOption = {
      level: Number(it.level),
      name: Number(it.name),
      value: it.buf_value === undefined ? Number(it.int_value ?? 0n) : it.buf_value,
      label: `${it.level}/${it.name}`,
    };
    if (it.state === 'STATE_BOUND') afterBind.push(option);
    else if (it.state === 'STATE_LISTENING') afterListen.push(option);
    else beforeBind.push(option);
  });
  const isMultipath = message.enable_mptcp;
  if (isMultipath && address.port < 0)
    at.field('enable_mptcp').fail('a Unix socket cannot be multipath', {
      envoy: `listener ${message.name}: enable_mptcp can only be used with IP addresses`,
    });
  if (beforeBind.length + afterBind.length + afterListen.length === 0 && !isMultipath) return undefined;
  if (address.isUdp) {
    at.unsupported('socket options of UDP listeners are not supported by chancery');
    return undefined;
  }
  try {
    nativeSockets();
  } catch (cause) {
    at.unsupported(`socket options beyond those of Node: ${(cause as Error).message}`, { cause });
  }
  return { beforeBind, afterBind, afterListen, isMultipath };
}

function optional(option: Omit<SocketOption, 'value'>, value: number | undefined): SocketOption[] {
  return value === undefined ? [] : [{ ...option, value }];
}
