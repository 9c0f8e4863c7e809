// The overload manager: what it watches, and what it does about it.

import { nearest } from '../edit-distance.ts';
import { type Rule, rule } from './rule.ts';

const actions = new Set([
  'envoy.overload_actions.stop_accepting_requests',
  'envoy.overload_actions.disable_http_keepalive',
  'envoy.overload_actions.stop_accepting_connections',
  'envoy.overload_actions.reject_incoming_connections',
  'envoy.overload_actions.shrink_heap',
  'envoy.overload_actions.reduce_timeouts',
  'envoy.overload_actions.reset_high_memory_stream',
]);

export const overloadRules: readonly Rule[] = [
  rule('envoy.config.overload.v3.OverloadManager', (manager, at) => {
    const monitors = new Set<string>();
    manager.resource_monitors.forEach((monitor, i) => {
      if (monitors.has(monitor.name)) {
        at.field('resource_monitors', i)
          .field('name')
          .fail(`"${monitor.name}" is watched twice`, {
            rule: 'overload-config',
            got: monitor.name,
            envoy: `Duplicate resource monitor ${monitor.name}`,
          });
      }
      monitors.add(monitor.name);
    });
    const seen = new Set<string>();
    manager.actions.forEach((action, i) => {
      const here = at.field('actions', i);
      if (!actions.has(action.name)) {
        const similar = nearest(action.name, actions);
        here.field('name').fail(`there is no action "${action.name}"`, {
          rule: 'overload-config',
          got: action.name,
          envoy: `Unknown Overload Manager Action ${action.name}`,
          expected: `one of ${[...actions].join(', ')}`,
          ...(similar !== undefined && { suggestion: `did you mean "${similar}"?` }),
        });
      } else if (seen.has(action.name)) {
        here.field('name').fail(`the action "${action.name}" stands twice`, {
          rule: 'overload-config',
          got: action.name,
          envoy: `Duplicate overload action ${action.name}`,
          suggestion: 'put the triggers of both into one',
        });
      }
      seen.add(action.name);
      action.triggers.forEach((trigger, j) => {
        if (monitors.has(trigger.name)) return;
        const similar = nearest(trigger.name, monitors);
        here
          .field('triggers', j)
          .field('name')
          .fail(`nothing watches "${trigger.name}"`, {
            rule: 'overload-config',
            got: trigger.name,
            envoy: `Unknown trigger resource ${trigger.name} for overload action ${action.name}`,
            suggestion:
              similar === undefined ? 'add it to "resource_monitors"' : `did you mean "${similar}"?`,
          });
      });
    });
  }),
];
