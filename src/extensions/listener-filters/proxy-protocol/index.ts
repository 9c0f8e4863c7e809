import { addressText } from '#base/address-text.ts';
import type { ParseContext } from '#config/parse-context.ts';
import {
  type AcceptedSocket,
  defineListenerFilter,
  type ListenerFilter,
  ListenerFilterStatus,
} from '#extension/listener-filter.ts';
import { isPassed, type PassThroughData, parsePassThrough } from '#extension/proxy-protocol-config.ts';
import { ProxyStatus, readProxyHeader } from '#net/proxy-protocol.ts';
import type { ProxyProtocol } from '#schema/messages/envoy/extensions/filters/listener/proxy_protocol/v3.ts';
import type { Counter } from '#stats/metric.ts';
import type { Scope } from '#stats/store.ts';

interface ProxyProtocolConfig {
  readonly statPrefix: string;
  readonly allowsOthers: boolean;
  readonly disallowedVersions: readonly number[];
  readonly passThrough: PassThroughData;
}

class ProxyProtocolStats {
  readonly notFoundDisallowed: Counter;
  readonly notFoundAllowed: Counter;
  readonly versions: readonly {
    readonly found: Counter;
    readonly disallowed: Counter;
    readonly error: Counter;
  }[];

  constructor(scope: Scope) {
    this.notFoundDisallowed = scope.counter('not_found_disallowed');
    this.notFoundAllowed = scope.counter('not_found_allowed');
    this.versions = [1, 2].map((version) => ({
      found: scope.counter(`versions.v${version}.found`),
      disallowed: scope.counter(`versions.v${version}.disallowed`),
      error: scope.counter(`versions.v${version}.error`),
    }));
  }
}

/** Takes the PROXY header off and the addresses from it. */
export const proxyProtocol = defineListenerFilter({
  kind: 'listener_filter',
  name: 'envoy.filters.listener.proxy_protocol',
  type: 'envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol',
  parse(message: ProxyProtocol, at: ParseContext): ProxyProtocolConfig {
    if (message.rules.length > 0) at.field('rules').unsupported();
    return {
      statPrefix: message.stat_prefix,
      allowsOthers: message.allow_requests_without_proxy_protocol,
      passThrough: parsePassThrough(message.pass_through_tlvs),
      disallowedVersions: message.disallowed_versions.map((it) => (it === 'V1' ? 1 : 2)),
    };
  },
  prepare(config, { stats }) {
    const scope = config.statPrefix === '' ? 'proxy_proto' : `proxy_proto.${config.statPrefix}`;
    return new ProxyProtocolFilter(config, stats.scope(scope).stats(ProxyProtocolStats));
  },
});

class ProxyProtocolFilter implements ListenerFilter {
  readonly needsBytes = true;
  readonly #config: ProxyProtocolConfig;
  readonly #stats: ProxyProtocolStats;

  constructor(config: ProxyProtocolConfig, stats: ProxyProtocolStats) {
    this.#config = config;
    this.#stats = stats;
  }

  inspect(socket: AcceptedSocket, bytes: Buffer, end: boolean): ListenerFilterStatus {
    const stats = this.#stats;
    const result = readProxyHeader(bytes);
    switch (result.status) {
      case ProxyStatus.NeedMore:
        return end ? ListenerFilterStatus.Close : ListenerFilterStatus.NeedMore;
      case ProxyStatus.Absent:
        if (!this.#config.allowsOthers) {
          stats.notFoundDisallowed.value++;
          return ListenerFilterStatus.Close;
        }
        stats.notFoundAllowed.value++;
        return ListenerFilterStatus.Continue;
      case ProxyStatus.Invalid:
        stats.versions[bytes[0] === 0x50 ? 0 : 1]!.error.value++;
        return ListenerFilterStatus.Close;
      case ProxyStatus.Done: {
        const header = result.header!;
        const counts = stats.versions[header.version - 1]!;
        if (this.#config.disallowedVersions.includes(header.version)) {
          counts.disallowed.value++;
          return ListenerFilterStatus.Close;
        }
        counts.found.value++;
        socket.consume(result.bytes);
        if (!header.isLocal) {
          const { passThrough } = this.#config;
          socket.info.proxyTlvs = header.tlvs.filter(({ type }) => isPassed(passThrough, type));
          socket.restoreAddresses(
            addressText(header.sourceAddress, header.sourcePort),
            addressText(header.destinationAddress, header.destinationPort),
          );
        }
        return ListenerFilterStatus.Continue;
      }
    }
  }
}
