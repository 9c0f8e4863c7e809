import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { addressText } from '#base/address-text.ts';
import type { ParseContext } from '#config/parse-context.ts';
import type { FormatContext } from '#extension/formatter.ts';
import type { Host } from '#extension/load-balancer.ts';
import { onlyFields } from '#extension/message-fields.ts';
import {
  ProxyHeaderWriter,
  type ProxyProtocolData,
  parseProxyProtocol,
} from '#extension/proxy-protocol-config.ts';
import type { Configured, Registry } from '#extension/registry.ts';
import type { TlsInfo } from '#extension/stream-info.ts';
import {
  defineUpstreamTransport,
  type ObservedConnection,
  type TransportOptions,
  type UpstreamTransport,
  type UpstreamTransportExtension,
} from '#extension/transport-socket.ts';
import type { ConnectionObserver } from '#net/connection.ts';
import type { ProxyProtocolUpstreamTransport } from '#schema/messages/envoy/extensions/transport_sockets/proxy_protocol/v3.ts';
import type { Counter } from '#stats/metric.ts';

interface UpstreamProxyProtocolConfig {
  readonly proxy: ProxyProtocolData;
  readonly inner: Configured | undefined;
  /** Connections with different TLVs are kept apart. */
  readonly tlvsInKey: boolean;
}

/** Says to the host whose connection this is, in a PROXY header before everything else, and then leaves it to another socket. */
export const upstreamProxyProtocol = defineUpstreamTransport({
  kind: 'upstream_transport_socket',
  name: 'envoy.transport_sockets.upstream_proxy_protocol',
  type: 'envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport',
  parse(
    message: ProxyProtocolUpstreamTransport,
    at: ParseContext,
    registry: Registry,
  ): UpstreamProxyProtocolConfig {
    onlyFields(message, at, ['config', 'transport_socket', 'tlv_as_pool_key', 'allow_unspecified_address']);
    return {
      proxy: parseProxyProtocol(message.config, at.field('config')),
      inner: registry.parse(
        'upstream_transport_socket',
        message.transport_socket!,
        at.field('transport_socket'),
      ),
      tlvsInKey: message.tlv_as_pool_key,
    };
  },
  prepare(config, context) {
    const { extension, config: inner } = config.inner!;
    const found = context.registry.byName<UpstreamTransportExtension>(
      'upstream_transport_socket',
      extension,
    )!;
    return new UpstreamProxyProtocol(
      config,
      found.prepare(inner as never, context),
      context.stats.scope(`${context.statPrefix}upstream.proxyprotocol`).counter('v2_tlvs_exceed_max_length'),
    );
  },
});

class UpstreamProxyProtocol implements UpstreamTransport {
  readonly isTls: boolean;
  readonly #inner: UpstreamTransport;
  readonly #writer: ProxyHeaderWriter;
  readonly #tlvsInKey: boolean;

  constructor(config: UpstreamProxyProtocolConfig, inner: UpstreamTransport, tooLong: Counter) {
    this.#inner = inner;
    this.isTls = inner.isTls;
    this.#tlvsInKey = config.tlvsInKey;
    this.#writer = new ProxyHeaderWriter(config.proxy, () => {
      tooLong.value++;
    });
  }

  greeting(
    socket: Socket,
    host: Host,
    options: TransportOptions | undefined,
    context: () => FormatContext,
  ): Buffer {
    const own = {
      remote: addressText(socket.localAddress ?? '', socket.localPort ?? -1),
      local: host.address,
      tlvs: [],
    };
    return this.#writer.write(options?.proxied, own, host.proxyTlvs, context);
  }

  wrap(
    socket: Socket,
    host: Host,
    alpn: readonly string[],
    options: TransportOptions | undefined,
  ): Socket | TLSSocket {
    return this.#inner.wrap(socket, host, alpn, options);
  }

  observe(connection: ObservedConnection, host: Host): ConnectionObserver | undefined {
    return this.#inner.observe?.(connection, host);
  }

  poolKey(options: TransportOptions): string {
    const { proxied } = options;
    const inner = this.#inner.poolKey?.(options) ?? '';
    if (proxied === undefined) return inner;
    const tlvs = this.#tlvsInKey
      ? proxied.tlvs.map(({ type, value }) => `${type}=${value.toString('latin1')}`).join()
      : '';
    return `${inner}|${proxied.remote}>${proxied.local}|${tlvs}`;
  }

  tlsInfo(socket: Socket | TLSSocket): TlsInfo | undefined {
    return this.#inner.tlsInfo(socket);
  }
}
