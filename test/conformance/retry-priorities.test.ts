// Where retries go whose priorities are those that were not tried, through the real Envoy and through us.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { missing } from '#testing/peers.ts';
import { expectSame } from './side-by-side.ts';
import { accessLog, frontYaml, type } from './side-by-side-configuration.ts';

/** The health of the hosts of each priority. */
const priorities: Readonly<Record<string, readonly (readonly string[])[]>> = {
  three: [['HEALTHY'], ['HEALTHY'], ['HEALTHY']],
  gap: [['HEALTHY'], ['UNHEALTHY'], ['HEALTHY']],
  degraded: [['DEGRADED'], ['HEALTHY'], ['DEGRADED']],
  // With two of them chance would decide.
  none: [['UNHEALTHY']],
  one: [['HEALTHY']],
};

/** How often priorities are excluded, and what else the retry policy says. */
const policies: Readonly<Record<string, { readonly update_frequency: number; readonly more?: object }>> = {
  each: { update_frequency: 1 },
  second: { update_frequency: 2 },
  third: { update_frequency: 3 },
  picky: {
    update_frequency: 1,
    more: {
      host_selection_retry_max_attempts: 3,
      retry_host_predicate: [
        {
          name: 'p',
          typed_config: { '@type': type('extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate') },
        },
      ],
    },
  },
};

const balancers: Readonly<Record<string, object>> = {
  robin: {},
  least: { lb_policy: 'LEAST_REQUEST' },
  random: { lb_policy: 'RANDOM' },
  ring: { lb_policy: 'RING_HASH' },
  maglev: { lb_policy: 'MAGLEV' },
  subset: { lb_subset_config: { fallback_policy: 'ANY_ENDPOINT' } },
};

const cases = [
  ...Object.keys(priorities).flatMap((hosts) =>
    Object.keys(policies).map((policy) => ({ hosts, policy, balancer: 'robin' })),
  ),
  ...['least', 'random', 'ring', 'maglev', 'subset'].map((balancer) => ({
    hosts: 'three',
    policy: 'each',
    balancer,
  })),
];
const clusterOf = ({ hosts, balancer }: (typeof cases)[number]) => `${hosts}-${balancer}`;
const pathOf = (it: (typeof cases)[number]) => `/${clusterOf(it)}/${it.policy}/`;

const yaml = frontYaml(
  cases.map((it) => ({
    match: { prefix: pathOf(it) },
    route: {
      cluster: clusterOf(it),
      retry_policy: {
        retry_on: 'connect-failure',
        num_retries: 7,
        retry_back_off: { base_interval: '0.001s', max_interval: '0.001s' },
        retry_priority: {
          name: 'envoy.retry_priorities.previous_priorities',
          typed_config: {
            '@type': type('extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig'),
            update_frequency: policies[it.policy]!.update_frequency,
          },
        },
        ...policies[it.policy]!.more,
      },
    },
  })),
  [...new Map(cases.map((it) => [clusterOf(it), it])).values()].map((it) => ({
    name: clusterOf(it),
    ...balancers[it.balancer],
    load_assignment: {
      cluster_name: clusterOf(it),
      endpoints: priorities[it.hosts]!.map((states, priority) => ({
        priority,
        lb_endpoints: states.map((health_status) => ({
          health_status,
          // Nobody listens there.
          endpoint: {
            address: { socket_address: { address: `127.0.0.${priority + 1}`, port_value: 21999 } },
          },
        })),
      })),
    },
  })),
  {},
  {},
  { router: { upstream_log: accessLog('log', '%REQ(:PATH)% %UPSTREAM_HOST%') } },
);

test('retries go to the same priorities', { skip: missing('envoy'), timeout: 60_000 }, async (t) => {
  const seen = await expectSame(t, yaml, async (side) => {
    for (const it of cases) {
      const response = await fetch(`http://127.0.0.1:${side.port(21000)}${pathOf(it)}`);
      await response.text();
    }
    await side.stop();
    const hosts = new Map<string, string>();
    for (const line of side.lines('log')) {
      const [path = '', host = ''] = line.split(' ');
      hosts.set(path, `${hosts.get(path) ?? ''} ${/127\.0\.0\.(\d+)/.exec(host)?.[1]}`);
    }
    return Object.fromEntries(hosts);
  });
  assert.equal(seen['/three-robin/each/'], ' 1 2 3 1 2 3 1 2');
});
