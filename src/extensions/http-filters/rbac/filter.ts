// Lets requests pass by role: the enforced rules decide, the shadow rules only count and leave their verdict in the metadata.
import { FilterStatus, type HttpFilter, type HttpStream } from '#extension/http-filter.ts';
import type { HeaderMap } from '#http/header-map.ts';
import type { Counter } from '#stats/metric.ts';
import type { Scope } from '#stats/store.ts';
import { dotted } from '../../rbac/dotted.ts';
import type { RbacDecider } from '../../rbac/engine.ts';

/** One level of configuration, compiled. */
export interface RbacPolicy {
  readonly engine: RbacDecider | undefined;
  readonly shadowEngine: RbacDecider | undefined;
  readonly rulesPrefix: string;
  readonly shadowPrefix: string;
  readonly trackPerRuleStats: boolean;
}

export class RbacStats {
  readonly allowed: Counter;
  readonly denied: Counter;
  readonly shadowAllowed: Counter;
  readonly shadowDenied: Counter;
  readonly #scope: Scope;
  readonly #rulesPrefix: string;
  readonly #shadowPrefix: string;

  constructor(scope: Scope, rulesPrefix: string, shadowPrefix: string) {
    this.#scope = scope;
    this.#rulesPrefix = dotted(rulesPrefix);
    this.#shadowPrefix = dotted(shadowPrefix);
    this.allowed = scope.counter(`${this.#rulesPrefix}allowed`);
    this.denied = scope.counter(`${this.#rulesPrefix}denied`);
    this.shadowAllowed = scope.counter(`${this.#shadowPrefix}shadow_allowed`);
    this.shadowDenied = scope.counter(`${this.#shadowPrefix}shadow_denied`);
  }

  /** Counters per policy come into being with their first verdict. */
  countPolicy(name: string, what: 'allowed' | 'denied' | 'shadow_allowed' | 'shadow_denied'): void {
    if (name === '') return;
    const prefix = what.startsWith('shadow') ? this.#shadowPrefix : this.#rulesPrefix;
    this.#scope.counter(`${prefix}policy.${name}.${what}`).value++;
  }
}

/** Where the verdicts are left, and where that of LOG rules, which other filters may share. */
const ownNamespace = 'envoy.filters.http.rbac';
const commonNamespace = 'envoy.common';

/** Without state per request: one instance serves all. */
export class RbacFilter implements HttpFilter {
  readonly #policy: RbacPolicy;
  readonly #name: string;
  readonly #stats: RbacStats;

  constructor(policy: RbacPolicy, name: string, stats: RbacStats) {
    this.#policy = policy;
    this.#name = name;
    this.#stats = stats;
  }

  decodeHeaders(stream: HttpStream, headers: HeaderMap): FilterStatus {
    const policy = (stream.routeConfig(this.#name) as RbacPolicy | undefined) ?? this.#policy;
    // A route that has no prefix keeps that of the filter.
    const rulesPrefix = policy.rulesPrefix || this.#policy.rulesPrefix;
    if (policy.shadowEngine !== undefined) this.#shadow(policy, policy.shadowEngine, stream, headers);
    const { engine } = policy;
    if (engine === undefined) return FilterStatus.Continue;
    const isAllowed = engine.decide(stream.info, headers);
    noteVerdict(stream, `${rulesPrefix}enforced`, engine.matchedPolicy, isAllowed);
    if (engine.logHint !== undefined) note(stream, commonNamespace, 'access_log_hint', engine.logHint);
    if (policy.trackPerRuleStats)
      this.#stats.countPolicy(engine.matchedPolicy, isAllowed ? 'allowed' : 'denied');
    if (isAllowed) {
      this.#stats.allowed.value++;
      return FilterStatus.Continue;
    }
    this.#stats.denied.value++;
    const name = engine.matchedPolicy === '' ? 'none' : engine.matchedPolicy;
    stream.sendLocalReply(
      403,
      'RBAC: access denied',
      `rbac_access_denied_matched_policy[${name.replace(/\s/g, '_')}]`,
    );
    return FilterStatus.StopIteration;
  }

  #shadow(policy: RbacPolicy, engine: RbacDecider, stream: HttpStream, headers: HeaderMap): void {
    const isAllowed = engine.decide(stream.info, headers);
    if (isAllowed) this.#stats.shadowAllowed.value++;
    else this.#stats.shadowDenied.value++;
    if (policy.trackPerRuleStats)
      this.#stats.countPolicy(engine.matchedPolicy, isAllowed ? 'shadow_allowed' : 'shadow_denied');
    const shadowPrefix = policy.shadowPrefix || this.#policy.shadowPrefix;
    noteVerdict(stream, `${shadowPrefix}shadow`, engine.matchedPolicy, isAllowed);
  }
}

function noteVerdict(stream: HttpStream, prefix: string, policy: string, isAllowed: boolean): void {
  if (policy !== '') note(stream, ownNamespace, `${prefix}_effective_policy_id`, policy);
  note(stream, ownNamespace, `${prefix}_engine_result`, isAllowed ? 'allowed' : 'denied');
}

function note(stream: HttpStream, namespace: string, key: string, value: string | boolean): void {
  stream.info.dynamicMetadata ??= {};
  const all = stream.info.dynamicMetadata;
  all[namespace] ??= {};
  all[namespace][key] = value;
}
