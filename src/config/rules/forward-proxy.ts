// The dynamic forward proxy: caches of one name are one cache, and its clusters check whom they connect to.
import { isDeepStrictEqual } from 'node:util';
import type { Message } from '#schema/descriptor.ts';
import type { MessageTypes } from '#schema/messages/type-map.ts';
import type { ParseContext } from '../parse-context.ts';
import { typeOf } from './extensions.ts';
import { type Rule, rule } from './rule.ts';

type Cluster = MessageTypes['envoy.config.cluster.v3.Cluster'];
type HttpProtocolOptions = MessageTypes['envoy.extensions.upstreams.http.v3.HttpProtocolOptions'];

type DnsCacheConfig = MessageTypes['envoy.extensions.common.dynamic_forward_proxy.v3.DnsCacheConfig'];

const clusterType = 'envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig';

export const forwardProxyRules: readonly Rule[] = [
  rule('envoy.extensions.common.dynamic_forward_proxy.v3.DnsCacheConfig', (cache, at, scope) => {
    const { name, max_hosts: maxHosts = 1024, preresolve_hostnames: preresolved } = cache;
    const first = scope.dnsCaches.get(name);
    if (first === undefined) scope.dnsCaches.set(name, cache);
    else if (!isSame(first, cache)) {
      at.fail(`the DNS cache "${name}" has other settings elsewhere`, {
        rule: 'cluster-config',
        got: name,
        envoy: `config specified DNS cache '${name}' with different settings`,
        suggestion: 'give the caches different names or the same settings',
      });
      return;
    }
    if (preresolved.length > maxHosts) {
      at.field('preresolve_hostnames').fail('there are more of them than "max_hosts"', {
        rule: 'cluster-config',
        got: preresolved.length,
        expected: `at most ${maxHosts}`,
        envoy: `DNS Cache [${name}] configured with preresolve_hostnames=${preresolved.length} larger than max_hosts=${maxHosts}`,
      });
    }
  }),
  rule('envoy.extensions.rbac.matchers.upstream_ip_port.v3.UpstreamIpPortMatcher', (matcher, at) => {
    if (matcher.upstream_ip !== undefined || matcher.upstream_port_range !== undefined) return;
    at.fail('needs "upstream_ip" or "upstream_port_range" or both', {
      rule: 'invalid-config',
      envoy:
        'Invalid UpstreamIpPortMatcher configuration - missing `upstream_ip` and/or `upstream_port_range`',
    });
  }),
  rule('envoy.extensions.clusters.dynamic_forward_proxy.v3.SubClustersConfig', (config, at) => {
    if (config.lb_policy !== 'CLUSTER_PROVIDED') return;
    at.field('lb_policy').fail('sub-clusters do not choose their hosts themselves', {
      rule: 'cluster-config',
      got: config.lb_policy,
      envoy: "unsupported lb_policy 'CLUSTER_PROVIDED' in sub_cluster_config",
      suggestion: 'use ROUND_ROBIN or LEAST_REQUEST',
    });
  }),
  rule('envoy.config.cluster.v3.Cluster', (cluster, at) => {
    if (typeOf(cluster.cluster_type?.typed_config as Message | undefined) !== clusterType) return;
    if (cluster.lb_policy !== 'CLUSTER_PROVIDED' && cluster.load_balancing_policy === undefined) {
      at.field('lb_policy').fail('a dynamic forward proxy chooses its hosts itself', {
        rule: 'cluster-config',
        got: cluster.lb_policy,
        expected: 'CLUSTER_PROVIDED',
        envoy: `cluster manager: cluster provided LB not specified but cluster '${cluster.name}' provided one. Check cluster documentation.`,
        suggestion: 'write "lb_policy: CLUSTER_PROVIDED"',
      });
    }
    checkNames(cluster, at);
  }),
];

/** What is set to its default is as if it was not set. */
function isSame(a: DnsCacheConfig, b: DnsCacheConfig): boolean {
  const names = Object.keys({ ...a, ...b }) as (keyof DnsCacheConfig)[];
  return names.every((it) => isDeepStrictEqual(a[it], b[it]));
}

/** Without these two it would talk to whoever answers at the address. */
function checkNames(cluster: Cluster, at: ParseContext): void {
  const config = cluster.cluster_type!.typed_config as unknown as MessageTypes[typeof clusterType];
  if (config.allow_insecure_cluster_options) return;
  const typed = Object.values(cluster.typed_extension_protocol_options).find(
    (it) => typeOf(it as unknown as Message) === 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
  ) as HttpProtocolOptions | undefined;
  const options =
    typed === undefined ? cluster.upstream_http_protocol_options : typed.upstream_http_protocol_options;
  const isChecked =
    options === undefined ? typed === undefined : options.auto_sni && options.auto_san_validation;
  if (isChecked) return;
  at.field('cluster_type').fail('"auto_sni" and "auto_san_validation" have to be set', {
    rule: 'cluster-config',
    envoy:
      'dynamic_forward_proxy cluster must have auto_sni and auto_san_validation true unless allow_insecure_cluster_options is set.',
    suggestion: 'set both in "upstream_http_protocol_options", or "allow_insecure_cluster_options"',
  });
}
