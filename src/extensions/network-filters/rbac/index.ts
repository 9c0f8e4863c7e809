import type { ParseContext } from '#config/parse-context.ts';
import {
  type DownstreamConnection,
  defineNetworkFilter,
  type NetworkFilter,
  NetworkFilterStatus,
} from '#extension/network-filter.ts';
import { CloseType } from '#net/connection.ts';
import type { RBAC } from '#schema/messages/envoy/extensions/filters/network/rbac/v3.ts';
import type { Counter } from '#stats/metric.ts';
import type { Scope } from '#stats/store.ts';
import { parseRbacRules, type RbacRules } from '../../rbac/config.ts';
import { RbacEngine } from '../../rbac/engine.ts';

interface RbacConfig {
  readonly statPrefix: string;
  readonly rules: RbacRules | undefined;
  readonly shadowRules: RbacRules | undefined;
  readonly shadowStatPrefix: string;
  /** Every piece of data is judged, not only the first. */
  readonly isContinuous: boolean;
}

class RbacStats {
  readonly allowed: Counter;
  readonly denied: Counter;
  readonly shadowAllowed: Counter;
  readonly shadowDenied: Counter;

  constructor(scope: Scope, shadowPrefix: string) {
    this.allowed = scope.counter('allowed');
    this.denied = scope.counter('denied');
    this.shadowAllowed = scope.counter(`${shadowPrefix}shadow_allowed`);
    this.shadowDenied = scope.counter(`${shadowPrefix}shadow_denied`);
  }
}

/** Closes connections that its rules refuse, when their first bytes come. */
export const networkRbac = defineNetworkFilter({
  kind: 'network_filter',
  name: 'envoy.filters.network.rbac',
  type: 'envoy.extensions.filters.network.rbac.v3.RBAC',
  parse(message: RBAC, at: ParseContext): RbacConfig {
    if (message.matcher !== undefined) at.field('matcher').unsupported();
    if (message.shadow_matcher !== undefined) at.field('shadow_matcher').unsupported();
    if (message.delay_deny !== undefined) at.field('delay_deny').unsupported();
    return {
      statPrefix: message.stat_prefix,
      rules: message.rules && parseRbacRules(message.rules, at.field('rules')),
      shadowRules: message.shadow_rules && parseRbacRules(message.shadow_rules, at.field('shadow_rules')),
      shadowStatPrefix: message.shadow_rules_stat_prefix,
      isContinuous: message.enforcement_type === 'CONTINUOUS',
    };
  },
  prepare(config, { stats }) {
    const counters = new RbacStats(
      stats.scope(`${config.statPrefix.replace(/\.$/, '')}.rbac`),
      config.shadowStatPrefix,
    );
    const engine = config.rules && new RbacEngine(config.rules);
    const shadow = config.shadowRules && new RbacEngine(config.shadowRules);
    return (connection) => new RbacFilter(config, connection, counters, engine, shadow);
  },
});

class RbacFilter implements NetworkFilter {
  readonly #config: RbacConfig;
  readonly #connection: DownstreamConnection;
  readonly #stats: RbacStats;
  readonly #engine: RbacEngine | undefined;
  readonly #shadow: RbacEngine | undefined;
  #isJudged = false;

  constructor(
    config: RbacConfig,
    connection: DownstreamConnection,
    stats: RbacStats,
    engine: RbacEngine | undefined,
    shadow: RbacEngine | undefined,
  ) {
    this.#config = config;
    this.#connection = connection;
    this.#stats = stats;
    this.#engine = engine;
    this.#shadow = shadow;
  }

  onData(): NetworkFilterStatus {
    if (this.#isJudged && !this.#config.isContinuous) return NetworkFilterStatus.Continue;
    this.#isJudged = true;
    const info = this.#connection.streamInfo;
    if (this.#shadow !== undefined) {
      if (this.#shadow.decide(info, undefined)) this.#stats.shadowAllowed.value++;
      else this.#stats.shadowDenied.value++;
    }
    if (this.#engine === undefined) return NetworkFilterStatus.Continue;
    if (this.#engine.decide(info, undefined)) {
      this.#stats.allowed.value++;
      return NetworkFilterStatus.Continue;
    }
    this.#stats.denied.value++;
    const policy = this.#engine.matchedPolicy === '' ? 'none' : this.#engine.matchedPolicy;
    info.connection.terminationDetails = `rbac_access_denied_matched_policy[${policy.replace(/\s/g, '_')}]`;
    this.#connection.close(CloseType.NoFlush, 'rbac_deny_close');
    return NetworkFilterStatus.StopIteration;
  }
}
