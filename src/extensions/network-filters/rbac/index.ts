import { type TimerOwner, type TimerWheel, WheelTimer } from '#base/timer-wheel.ts';
import type { ParseContext } from '#config/parse-context.ts';
import { durationMs } from '#extension/message-fields.ts';
import {
  type DownstreamConnection,
  defineNetworkFilter,
  type NetworkFilter,
  NetworkFilterStatus,
} from '#extension/network-filter.ts';
import type { StreamInfo } from '#extension/stream-info.ts';
import { CloseType } from '#net/connection.ts';
import type { RBAC } from '#schema/messages/envoy/extensions/filters/network/rbac/v3.ts';
import type { Counter } from '#stats/metric.ts';
import type { Scope } from '#stats/store.ts';
import { dotted } from '../../rbac/dotted.ts';
import type { RbacDecider } from '../../rbac/engine.ts';
import { compileJudgement, parseJudgements, type RbacJudgement } from '../../rbac/judgement.ts';

interface RbacConfig {
  readonly statPrefix: string;
  readonly rules: RbacJudgement | undefined;
  readonly shadowRules: RbacJudgement | undefined;
  readonly shadowStatPrefix: string;
  /** Every piece of data is judged, not only the first. */
  readonly isContinuous: boolean;
  /** How long a refused connection waits for its end. */
  readonly denyDelayMs: number;
}

class RbacStats {
  readonly allowed: Counter;
  readonly denied: Counter;
  readonly shadowAllowed: Counter;
  readonly shadowDenied: Counter;

  constructor(scope: Scope, shadowPrefix: string) {
    this.allowed = scope.counter('allowed');
    this.denied = scope.counter('denied');
    this.shadowAllowed = scope.counter(`${dotted(shadowPrefix)}shadow_allowed`);
    this.shadowDenied = scope.counter(`${dotted(shadowPrefix)}shadow_denied`);
  }
}

/** Closes connections that its rules refuse, when their first bytes come. */
export const networkRbac = defineNetworkFilter({
  kind: 'network_filter',
  name: 'envoy.filters.network.rbac',
  type: 'envoy.extensions.filters.network.rbac.v3.RBAC',
  parse(message: RBAC, at: ParseContext): RbacConfig {
    return {
      statPrefix: message.stat_prefix,
      ...parseJudgements(message, at, false),
      shadowStatPrefix: message.shadow_rules_stat_prefix,
      isContinuous: message.enforcement_type === 'CONTINUOUS',
      denyDelayMs: durationMs(message.delay_deny, 0),
    };
  },
  prepare(config, { stats, timers, runtime }) {
    const counters = new RbacStats(
      stats.scope(`${config.statPrefix.replace(/\.$/, '')}.rbac`),
      config.shadowStatPrefix,
    );
    const engine = compileJudgement(config.rules, runtime);
    const shadow = compileJudgement(config.shadowRules, runtime);
    return (connection) => new RbacFilter(config, connection, counters, engine, shadow, timers);
  },
});

class RbacFilter implements NetworkFilter, TimerOwner {
  readonly #config: RbacConfig;
  readonly #connection: DownstreamConnection;
  readonly #stats: RbacStats;
  readonly #engine: RbacDecider | undefined;
  readonly #shadow: RbacDecider | undefined;
  readonly #timers: TimerWheel;
  #isJudged = false;
  /** While a refused connection waits for its end. */
  #delay: WheelTimer | undefined = undefined;

  constructor(
    config: RbacConfig,
    connection: DownstreamConnection,
    stats: RbacStats,
    engine: RbacDecider | undefined,
    shadow: RbacDecider | undefined,
    timers: TimerWheel,
  ) {
    this.#config = config;
    this.#connection = connection;
    this.#stats = stats;
    this.#engine = engine;
    this.#shadow = shadow;
    this.#timers = timers;
  }

  onData(): NetworkFilterStatus {
    if (this.#delay !== undefined) return NetworkFilterStatus.StopIteration;
    if (this.#isJudged && !this.#config.isContinuous) return NetworkFilterStatus.Continue;
    this.#isJudged = true;
    const info = this.#connection.streamInfo;
    if (this.#shadow !== undefined) {
      this.#judgeInShadow(this.#shadow, info);
    }
    if (this.#engine === undefined) return NetworkFilterStatus.Continue;
    if (this.#engine.decide(info, undefined)) {
      this.#stats.allowed.value++;
      return NetworkFilterStatus.Continue;
    }
    this.#stats.denied.value++;
    const policy = this.#engine.matchedPolicy === '' ? 'none' : this.#engine.matchedPolicy;
    info.connection.terminationDetails = `rbac_access_denied_matched_policy[${policy.replace(/\s/g, '_')}]`;
    if (this.#config.denyDelayMs > 0) {
      // Nor is the end of the client looked at.
      this.#connection.connection.readDisable(true);
      this.#delay = new WheelTimer(this);
      this.#timers.start(this.#delay, this.#config.denyDelayMs);
    } else this.#close();
    return NetworkFilterStatus.StopIteration;
  }

  onTimeout(): void {
    this.#close();
  }

  onClose(): void {
    if (this.#delay !== undefined) this.#timers.cancel(this.#delay);
  }

  #close(): void {
    this.#connection.close(CloseType.NoFlush, 'rbac_deny_close');
  }

  #judgeInShadow(engine: RbacDecider, info: StreamInfo): void {
    const isAllowed = engine.decide(info, undefined);
    if (isAllowed) this.#stats.shadowAllowed.value++;
    else this.#stats.shadowDenied.value++;
    const prefix = this.#config.shadowStatPrefix;
    info.dynamicMetadata ??= {};
    const verdict = (info.dynamicMetadata[networkRbac.name] ??= {});
    if (engine.matchedPolicy !== '') verdict[`${prefix}shadow_effective_policy_id`] = engine.matchedPolicy;
    verdict[`${prefix}shadow_engine_result`] = isAllowed ? 'allowed' : 'denied';
  }
}
