// What Envoy checks when it builds a cluster, and what it should: types and their fields, addresses, hash tables.

import { isIP } from 'node:net';
import type { MessageTypes } from '#schema/messages/type-map.ts';
import type { ParseContext } from '../parse-context.ts';
import { checkHealthChecks } from './health-checks.ts';
import { type Rule, rule } from './rule.ts';
import type { RuleScope } from './scope.ts';

type Cluster = MessageTypes['envoy.config.cluster.v3.Cluster'];
type ClusterLoadAssignment = MessageTypes['envoy.config.endpoint.v3.ClusterLoadAssignment'];

const httpOptions = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
/** Names without a type of their own, under which Envoy finds protocol options. */
const optionNames = /^envoy\.(?:extensions\.)?(?:upstreams|filters)\.|^envoy\.upstreams\./;

const notPerHost = [
  'max_pending_requests',
  'max_requests',
  'max_retries',
  'max_connection_pools',
  'retry_budget',
] as const;

export const clusterRules: readonly Rule[] = [
  rule('envoy.config.bootstrap.v3.Bootstrap.StaticResources', (resources, at) => {
    const seen = new Map<string, number>();
    resources.clusters.forEach((cluster, i) => {
      const first = seen.get(cluster.name);
      if (first === undefined) {
        seen.set(cluster.name, i);
        return;
      }
      const words = `cluster manager: duplicate cluster '${cluster.name}'`;
      at.field('clusters', i)
        .field('name')
        .fail(`there is another cluster "${cluster.name}", the ${ordinal(first + 1)} in the list`, {
          rule: 'duplicate-cluster',
          got: cluster.name,
          envoy: words,
          suggestion: 'rename one of them',
        });
    });
  }),
  rule('envoy.config.cluster.v3.Cluster', (cluster, at, scope) => {
    checkType(cluster, at);
    checkAddresses(cluster, at);
    checkHashing(cluster, at);
    checkPolicy(cluster, at);
    checkHealthChecks(cluster, at, usesHttp2(cluster));
    checkOptions(cluster, at);
    checkEndpoints(cluster, at, scope);
  }),
  rule('envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash', checkRing),
  rule('envoy.extensions.load_balancing_policies.maglev.v3.Maglev', checkTable),
  rule('envoy.config.cluster.v3.CircuitBreakers', (breakers, at) => {
    breakers.per_host_thresholds.forEach((limits, i) => {
      for (const field of notPerHost) {
        if (limits[field] === undefined) continue;
        at.field('per_host_thresholds', i).field(field).fail(`"${field}" cannot be limited for each host`, {
          rule: 'cluster-config',
          point: 'key',
          envoy: 'Unsupported field in per_host_thresholds',
          expected: 'only "max_connections"',
          suggestion: 'move it to "thresholds"',
        });
      }
    });
  }),
  rule('envoy.config.cluster.v3.Cluster.TransportSocketMatch', (match, at) => {
    if (match.transport_socket !== undefined) return;
    at.fail('"transport_socket" is missing', {
      rule: 'unknown-extension',
      envoy: "Didn't find a registered implementation for '' with type URL: ''",
      suggestion: 'add "transport_socket"',
    });
  }),
  rule('envoy.config.endpoint.v3.ClusterLoadAssignment', (assignment, at, scope, around) => {
    if (around.inside('envoy.config.cluster.v3.Cluster') !== undefined) return;
    checkIpAddresses(assignment, at);
    if (scope.edsServices.size === 0 || scope.edsServices.has(assignment.cluster_name)) return;
    const wanted = [...scope.edsServices];
    at.field('cluster_name').warn(
      `no cluster asks for endpoints under the name "${assignment.cluster_name}"`,
      {
        rule: 'eds-cluster-name',
        got: assignment.cluster_name,
        expected: `one of ${wanted.join(', ')}`,
        suggestion:
          wanted.length === 1
            ? `"${assignment.cluster_name}" is not defined; the cluster here is "${wanted[0]}"`
            : 'use the name of the cluster, or its "service_name"',
      },
    );
  }),
];

function ordinal(n: number): string {
  const suffix = n % 100 > 10 && n % 100 < 14 ? 'th' : (['th', 'st', 'nd', 'rd'][n % 10] ?? 'th');
  return `${n}${suffix}`;
}

function checkType(cluster: Cluster, at: ParseContext): void {
  const fail = (problem: string, words: string, field: string, suggestion?: string) =>
    at.field(field).fail(problem, {
      rule: 'cluster-config',
      envoy: words,
      point: 'key',
      ...(suggestion !== undefined && { suggestion }),
    });
  if (cluster.cluster_type !== undefined) return;
  const type = cluster.type ?? 'STATIC';
  if (type === 'EDS' && cluster.eds_cluster_config === undefined) {
    at.field('type').fail('an EDS cluster needs "eds_cluster_config"', {
      rule: 'cluster-config',
      envoy: 'cannot create an EDS cluster without an EDS config',
      suggestion: 'add "eds_cluster_config: {eds_config: ...}"',
    });
  }
  if (type !== 'EDS' && cluster.eds_cluster_config !== undefined) {
    fail(
      `only a cluster of type EDS takes "eds_cluster_config", this one is ${type}`,
      'eds_cluster_config set in a non-EDS cluster',
      'eds_cluster_config',
      'write "type: EDS"',
    );
  }
  if (type === 'ORIGINAL_DST') {
    if (cluster.lb_policy !== 'CLUSTER_PROVIDED') {
      const words = `cluster: LB policy ${cluster.lb_policy} is not valid for Cluster type ORIGINAL_DST. Only 'CLUSTER_PROVIDED' is allowed with cluster type 'ORIGINAL_DST'`;
      at.field('lb_policy').fail('a cluster of type ORIGINAL_DST chooses its hosts itself', {
        rule: 'cluster-config',
        envoy: words,
        got: cluster.lb_policy,
        expected: 'CLUSTER_PROVIDED',
        suggestion: 'write "lb_policy: CLUSTER_PROVIDED"',
      });
    }
    if ((cluster.load_assignment?.endpoints.length ?? 0) > 0) {
      fail(
        'a cluster of type ORIGINAL_DST has no endpoints of its own',
        'ORIGINAL_DST clusters must have no load assignment configured',
        'load_assignment',
        'remove "load_assignment"',
      );
    }
  } else if (cluster.lb_policy === 'CLUSTER_PROVIDED') {
    const words = `cluster manager: cluster provided LB specified but cluster '${cluster.name}' did not provide one. Check cluster documentation.`;
    fail(
      `a cluster of type ${type} does not choose its hosts itself`,
      words,
      'lb_policy',
      'use ROUND_ROBIN or LEAST_REQUEST',
    );
  }
  if (type === 'LOGICAL_DNS') checkLogicalDns(cluster, at);
  if (cluster.lb_policy === 'LOAD_BALANCING_POLICY_CONFIG' && cluster.load_balancing_policy === undefined) {
    fail(
      '"load_balancing_policy" is missing',
      'cluster: field load_balancing_policy need to be set',
      'lb_policy',
      'add "load_balancing_policy"',
    );
  }
}

/** A typed policy replaces the older fields, and takes their place only alone. */
function checkPolicy(cluster: Cluster, at: ParseContext): void {
  if (cluster.load_balancing_policy === undefined || cluster.lb_subset_config === undefined) return;
  at.field('lb_subset_config').fail('"load_balancing_policy" and "lb_subset_config" exclude each other', {
    rule: 'cluster-config',
    point: 'key',
    envoy: 'cluster: load_balancing_policy cannot be combined with lb_subset_config',
    suggestion: 'write the subsets as a policy of type envoy.load_balancing_policies.subset',
  });
}

function checkLogicalDns(cluster: Cluster, at: ParseContext): void {
  const groups = cluster.load_assignment?.endpoints ?? [];
  const count = groups.length === 1 ? groups[0]!.lb_endpoints.length : groups.length;
  if (groups.length === 1 && count === 1) return;
  const words =
    groups.length === 0
      ? 'LOGICAL_DNS clusters must have a single host'
      : 'LOGICAL_DNS clusters must have a single locality_lb_endpoint and a single lb_endpoint';
  at.field(cluster.load_assignment === undefined ? 'type' : 'load_assignment').fail(
    `a cluster of type LOGICAL_DNS has exactly one endpoint, this one has ${groups.length === 0 ? 'none' : 'more'}`,
    { rule: 'cluster-config', envoy: words, suggestion: 'use STRICT_DNS for several names' },
  );
}

function checkAddresses(cluster: Cluster, at: ParseContext): void {
  if (cluster.cluster_type !== undefined || (cluster.type !== undefined && cluster.type !== 'STATIC')) return;
  if (cluster.load_assignment !== undefined)
    checkIpAddresses(cluster.load_assignment, at.field('load_assignment'));
}

/** Endpoints that nobody looks up: those of static clusters, and those that come by discovery. */
function checkIpAddresses(assignment: ClusterLoadAssignment, at: ParseContext): void {
  const hint = `Consider setting resolver_name or setting cluster type to 'STRICT_DNS' or 'LOGICAL_DNS'`;
  assignment.endpoints.forEach((group, i) => {
    group.lb_endpoints.forEach((it, j) => {
      const here = () => at.field('endpoints', i).field('lb_endpoints', j);
      const whole = it.endpoint?.address;
      if (
        whole?.socket_address === undefined &&
        whole?.pipe === undefined &&
        whole?.envoy_internal_address === undefined
      ) {
        here().fail('the endpoint has no address', {
          rule: 'malformed-address',
          envoy: `Address must be set: . ${hint}`,
          suggestion: 'add "endpoint: {address: {socket_address: ...}}"',
        });
        return;
      }
      const socket = whole.socket_address;
      if (socket === undefined || socket.resolver_name !== '') return;
      const socketAt = () => here().field('endpoint').field('address').field('socket_address');
      if (socket.named_port !== undefined) {
        socketAt()
          .field('named_port')
          .fail('the endpoint needs a port number', {
            rule: 'malformed-address',
            got: socket.named_port,
            envoy: `IP resolver can't handle port specifier type 4. ${hint}`,
            suggestion: 'use "port_value"',
          });
      } else if (!isIpAddress(socket.address)) {
        socketAt()
          .field('address')
          .fail(`"${socket.address}" is not an IP address, and nobody asks DNS for this endpoint`, {
            rule: 'malformed-address',
            got: socket.address,
            expected: 'an IP address',
            envoy: `malformed IP address: ${socket.address}. ${hint}`,
            suggestion: 'write "type: STRICT_DNS" in the cluster to look names up',
          });
      }
    });
  });
}

/** Envoy takes what getaddrinfo takes: an IPv6 scope is a number, or the name of an interface where the address is of one link. */
export function isIpAddress(text: string): boolean {
  if (isIP(text) === 0) return false;
  const percent = text.indexOf('%');
  if (percent < 0) return true;
  const scope = text.slice(percent + 1);
  return /^\d+$/.test(scope) ? Number(scope) < 2 ** 32 : /^(fe[89ab].|ff.[12]):/i.test(text);
}

function checkHashing(cluster: Cluster, at: ParseContext): void {
  if (cluster.lb_policy === 'RING_HASH')
    checkRing(cluster.ring_hash_lb_config, at.field('ring_hash_lb_config'));
  else if (cluster.lb_policy === 'MAGLEV') checkTable(cluster.maglev_lb_config, at.field('maglev_lb_config'));
  else return;
  checkHostnameHashing(cluster, at);
}

function checkRing(
  config: { readonly minimum_ring_size?: bigint; readonly maximum_ring_size?: bigint } | undefined,
  at: ParseContext,
): void {
  const min = config?.minimum_ring_size ?? 1024n;
  const max = config?.maximum_ring_size ?? 8388608n;
  if (min <= max) return;
  at.fail(`"minimum_ring_size" (${min}) is larger than "maximum_ring_size" (${max})`, {
    rule: 'hash-table-size',
    envoy: `ring hash: minimum_ring_size (${min}) > maximum_ring_size (${max})`,
    suggestion: 'swap them',
  });
}

function checkTable(config: { readonly table_size?: bigint } | undefined, at: ParseContext): void {
  const size = config?.table_size;
  if (size === undefined || isPrime(Number(size)) || size > 5000011n) return;
  let next = Number(size);
  while (!isPrime(next)) next++;
  at.field('table_size').fail(`${size} is not a prime number`, {
    rule: 'hash-table-size',
    got: size,
    envoy: 'The table size of maglev must be prime number',
    expected: 'a prime number',
    suggestion: `the next prime number is ${next}`,
  });
}

function checkHostnameHashing(cluster: Cluster, at: ParseContext): void {
  if (cluster.common_lb_config?.consistent_hashing_lb_config?.use_hostname_for_hashing !== true) return;
  if (cluster.cluster_type !== undefined || (cluster.type !== undefined && cluster.type !== 'STATIC')) return;
  at.field('common_lb_config')
    .field('consistent_hashing_lb_config')
    .field('use_hostname_for_hashing')
    .fail('hosts of a cluster of type STATIC have no names to hash', {
      rule: 'cluster-config',
      envoy:
        "Cannot use hostname for consistent hashing loadbalancing for cluster of type: 'envoy.cluster.static'",
      suggestion: 'remove it, or use STRICT_DNS',
    });
}

function isPrime(n: number): boolean {
  if (n < 2) return false;
  for (let i = 2; i * i <= n; i++) if (n % i === 0) return false;
  return true;
}

interface HttpOptions {
  readonly explicit_http_config?: { readonly http2_protocol_options?: unknown };
  readonly use_downstream_protocol_config?: { readonly http2_protocol_options?: unknown };
  readonly auto_config?: unknown;
}

function usesHttp2(cluster: Cluster): boolean {
  if (cluster.http2_protocol_options !== undefined) return true;
  const options = httpOptionsOf(cluster);
  return (
    options?.explicit_http_config?.http2_protocol_options !== undefined ||
    options?.use_downstream_protocol_config?.http2_protocol_options !== undefined ||
    options?.auto_config !== undefined
  );
}

function httpOptionsOf(cluster: Cluster): HttpOptions | undefined {
  for (const config of Object.values(cluster.typed_extension_protocol_options)) {
    if (config['@type'].endsWith(`/${httpOptions}`)) return config as unknown as HttpOptions;
  }
  return undefined;
}

function checkOptions(cluster: Cluster, at: ParseContext): void {
  for (const [name, config] of Object.entries(cluster.typed_extension_protocol_options)) {
    const here = at.field('typed_extension_protocol_options').key(name);
    if (name === httpOptions && config['@type'] === '') {
      here.fail('the options are empty', {
        rule: 'cluster-config',
        point: 'key',
        envoy: 'Proto constraint validation failed (field: "upstream_protocol_options", reason: is required)',
        suggestion: 'add "@type" and "explicit_http_config"',
      });
    }
    if (!optionNames.test(name) && name !== httpOptions) {
      here.fail(`"${name}" is not the name of a filter or of protocol options`, {
        rule: 'unknown-extension',
        point: 'key',
        got: name,
        envoy: `Didn't find a registered network or http filter or protocol options implementation for name: '${name}'`,
        ...(config['@type'].endsWith(`/${httpOptions}`) && {
          suggestion: `the key has to be "${httpOptions}"`,
        }),
      });
    }
  }
  const hasTls = cluster.transport_socket?.typed_config?.['@type'].endsWith('.UpstreamTlsContext') === true;
  if (
    httpOptionsOf(cluster)?.auto_config !== undefined &&
    !hasTls &&
    cluster.transport_socket?.name === undefined
  ) {
    at.field('typed_extension_protocol_options')
      .key(httpOptions)
      .field('auto_config')
      .fail('choosing the protocol by ALPN needs TLS', {
        rule: 'cluster-config',
        point: 'key',
        envoy: `ALPN configured for cluster ${cluster.name} which has a non-ALPN transport socket`,
        suggestion: 'add a "transport_socket" with an UpstreamTlsContext, or use "explicit_http_config"',
      });
  }
}

function checkEndpoints(cluster: Cluster, at: ParseContext, scope: RuleScope): void {
  const assignment = cluster.load_assignment;
  const type = cluster.type ?? 'STATIC';
  if (
    assignment !== undefined &&
    assignment.cluster_name !== '' &&
    assignment.cluster_name !== cluster.name
  ) {
    at.field('load_assignment')
      .field('cluster_name')
      .warn(`the endpoints are named after "${assignment.cluster_name}", the cluster is "${cluster.name}"`, {
        rule: 'eds-cluster-name',
        got: assignment.cluster_name,
        expected: cluster.name,
        suggestion: `write "${cluster.name}"`,
      });
  }
  if (cluster.cluster_type !== undefined || scope.isPartial) return;
  if (type !== 'STATIC' && type !== 'STRICT_DNS') return;
  const count = (assignment?.endpoints ?? []).reduce((sum, it) => sum + it.lb_endpoints.length, 0);
  if (count === 0) {
    at.warn(`the cluster "${cluster.name}" has no endpoints: every request to it fails`, {
      rule: 'no-endpoints',
      expected: '"load_assignment" with endpoints',
      suggestion: 'add "load_assignment"',
    });
  }
}
