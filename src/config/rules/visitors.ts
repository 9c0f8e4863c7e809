// The one list of all rules.

import type { Visitor } from '../check-message.ts';
import { clusterRules } from './clusters.ts';
import { extensionRules } from './extensions.ts';
import { formatRules } from './formats.ts';
import { forwardProxyRules } from './forward-proxy.ts';
import { healthCheckRules } from './health-checks.ts';
import { httpFilterRules } from './http-filters.ts';
import { listenerRules } from './listeners.ts';
import { overloadRules } from './overload.ts';
import { referenceRules } from './references.ts';
import { routeRules } from './routes.ts';
import type { Rule } from './rule.ts';
import { runtimeRules } from './runtime.ts';
import type { RuleScope } from './scope.ts';
import { tcpRules } from './tcp.ts';
import { tlsRules } from './tls.ts';
import { udpRules } from './udp.ts';
import { xdsRules } from './xds.ts';

export const allRules: readonly Rule[] = [
  ...extensionRules,
  ...tcpRules,
  ...clusterRules,
  ...healthCheckRules,
  ...runtimeRules,
  ...xdsRules,
  ...listenerRules,
  ...routeRules,
  ...formatRules,
  ...referenceRules,
  ...tlsRules,
  ...overloadRules,
  ...udpRules,
  ...httpFilterRules,
  ...forwardProxyRules,
];

export function visitorsOf(scope: RuleScope): ReadonlyMap<string, readonly Visitor[]> {
  const visitors = new Map<string, Visitor[]>();
  for (const { type, visitor } of allRules) {
    const list = visitors.get(type);
    if (list === undefined) visitors.set(type, [visitor(scope)]);
    else list.push(visitor(scope));
  }
  return visitors;
}
