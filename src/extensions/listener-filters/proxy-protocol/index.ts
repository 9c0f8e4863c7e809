import { addressText } from '#base/address-text.ts';
import { latin1OfUtf8, utf8OfLatin1 } from '#base/utf8.ts';
import type { ParseContext } from '#config/parse-context.ts';
import {
  type AcceptedSocket,
  defineListenerFilter,
  type ListenerFilter,
  ListenerFilterStatus,
} from '#extension/listener-filter.ts';
import { onlyFields } from '#extension/message-fields.ts';
import { isPassed, type PassThroughData, parsePassThrough } from '#extension/proxy-protocol-config.ts';
import { ProxyStatus, type ProxyTlv, proxyVersion, readProxyHeader, shortest2 } from '#net/proxy-protocol.ts';
import type {
  ProxyProtocol,
  ProxyProtocol_Rule,
} from '#schema/messages/envoy/extensions/filters/listener/proxy_protocol/v3.ts';
import type { Counter } from '#stats/metric.ts';
import type { Scope } from '#stats/store.ts';

interface ProxyProtocolConfig {
  readonly statPrefix: string;
  readonly allowsOthers: boolean;
  readonly disallowedVersions: readonly number[];
  readonly passThrough: PassThroughData;
  readonly rules: readonly TlvRule[];
  /** Values go into filter state instead of metadata. */
  readonly inFilterState: boolean;
}

/** A TLV that becomes metadata. */
interface TlvRule {
  readonly type: number;
  readonly namespace: string;
  readonly key: string;
  readonly isBase64: boolean;
}

function parseRule(message: ProxyProtocol_Rule, at: ParseContext): TlvRule | undefined {
  const { on_tlv_present: pair } = message;
  if (pair === undefined) return undefined;
  onlyFields(pair, at.field('on_tlv_present'), ['metadata_namespace', 'key', 'value_string_encoding']);
  return {
    type: message.tlv_type & 0xff,
    namespace: pair.metadata_namespace || name,
    key: pair.key,
    isBase64: pair.value_string_encoding === 'BASE64',
  };
}

const name = 'envoy.filters.listener.proxy_protocol';

class ProxyProtocolStats {
  readonly notFoundDisallowed: Counter;
  readonly notFoundAllowed: Counter;
  readonly versions: readonly {
    readonly found: Counter;
    readonly disallowed: Counter;
    readonly error: Counter;
  }[];

  /** Of all filters. */
  readonly errors: Counter;

  constructor(scope: Scope, root: Scope) {
    this.errors = root.counter('downstream_cx_proxy_proto_error');
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
  name,
  type: 'envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol',
  parse(message: ProxyProtocol, at: ParseContext): ProxyProtocolConfig {
    return {
      statPrefix: message.stat_prefix,
      allowsOthers: message.allow_requests_without_proxy_protocol,
      passThrough: parsePassThrough(message.pass_through_tlvs),
      rules: message.rules.flatMap((it, i) => parseRule(it, at.field('rules', i)) ?? []),
      inFilterState: message.tlv_location === 'FILTER_STATE',
      disallowedVersions: message.disallowed_versions.map((it) => (it === 'V1' ? 1 : 2)),
    };
  },
  prepare(config, { stats }) {
    const scope = config.statPrefix === '' ? 'proxy_proto' : `proxy_proto.${config.statPrefix}`;
    return new ProxyProtocolFilter(config, new ProxyProtocolStats(stats.scope(scope), stats));
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
    const { allowsOthers, disallowedVersions } = this.#config;
    const result = readProxyHeader(bytes);
    const version = allowsOthers && result.status === ProxyStatus.Absent ? 0 : proxyVersion(bytes);
    const counts = stats.versions[version - 1];
    if (counts !== undefined && disallowedVersions.includes(version)) {
      counts.found.value++;
      counts.disallowed.value++;
      return ListenerFilterStatus.Close;
    }
    switch (result.status) {
      case ProxyStatus.NeedMore:
        return end ? ListenerFilterStatus.Close : ListenerFilterStatus.NeedMore;
      case ProxyStatus.Absent:
        if (!allowsOthers) {
          if (counts === undefined && bytes.length < shortest2)
            return end ? ListenerFilterStatus.Close : ListenerFilterStatus.NeedMore;
          stats.errors.value++;
          (counts?.error ?? stats.notFoundDisallowed).value++;
          return ListenerFilterStatus.Close;
        }
        stats.notFoundAllowed.value++;
        return ListenerFilterStatus.Continue;
      case ProxyStatus.Endless:
        stats.errors.value++;
        stats.notFoundDisallowed.value++;
        return ListenerFilterStatus.Close;
      case ProxyStatus.Invalid:
        stats.errors.value++;
        stats.versions[bytes[0] === 0x50 ? 0 : 1]!.error.value++;
        return ListenerFilterStatus.Close;
      case ProxyStatus.Done: {
        const header = result.header!;
        stats.versions[header.version - 1]!.found.value++;
        socket.consume(result.bytes);
        if (!header.isLocal) {
          const { passThrough } = this.#config;
          socket.info.proxyTlvs = header.tlvs.filter(({ type }) => isPassed(passThrough, type));
          this.#keepValues(socket, header.tlvs);
          socket.restoreAddresses(
            addressText(header.sourceAddress, header.sourcePort),
            addressText(header.destinationAddress, header.destinationPort),
          );
        }
        return ListenerFilterStatus.Continue;
      }
    }
  }

  /** Of several rules for a type the last one counts, of several values of a key the first, in filter state the last. */
  #keepValues(socket: AcceptedSocket, tlvs: readonly ProxyTlv[]): void {
    const { rules, inFilterState } = this.#config;
    if (rules.length === 0) return;
    const found = new Map<string, Record<string, string>>();
    for (const { type, value } of tlvs) {
      const rule = rules.findLast((it) => it.type === type);
      if (rule === undefined) continue;
      // Filter state has no namespaces.
      const namespace = inFilterState ? '' : rule.namespace;
      const values = found.get(namespace) ?? {};
      found.set(namespace, values);
      if (!inFilterState && rule.key in values) continue;
      const text = rule.isBase64 ? value.toString('base64') : utf8OfLatin1(value.toString('latin1'));
      // Metadata are Unicode, filter state goes into log lines as it is.
      values[rule.key] = inFilterState ? latin1OfUtf8(text) : text;
    }
    for (const [namespace, values] of found) {
      if (inFilterState) keepState(socket, values);
      else socket.setMetadata(namespace, values);
    }
  }
}

function keepState({ info }: AcceptedSocket, values: Readonly<Record<string, string>>): void {
  info.filterState ??= new Map();
  info.filterState.set('envoy.network.proxy_protocol.tlv', {
    text: JSON.stringify(values),
    field: (key) => values[key],
    typed: values,
  });
}
