// Route tables: domains, clusters, rewrites, retries, timeouts, and routes that no request reaches.

import { existsSync } from 'node:fs';
import type { MessageTypes } from '#schema/messages/type-map.ts';
import { nearest } from '../edit-distance.ts';
import type { ParseContext } from '../parse-context.ts';
import { milliseconds, type Rule, rule, seconds } from './rule.ts';
import type { RuleScope } from './scope.ts';

type RouteConfiguration = MessageTypes['envoy.config.route.v3.RouteConfiguration'];
type VirtualHost = MessageTypes['envoy.config.route.v3.VirtualHost'];
type Route = MessageTypes['envoy.config.route.v3.Route'];
type RouteAction = MessageTypes['envoy.config.route.v3.RouteAction'];
type RouteMatch = MessageTypes['envoy.config.route.v3.RouteMatch'];

export const routeRules: readonly Rule[] = [
  rule('envoy.config.route.v3.RouteConfiguration', (config, at, scope, around) => {
    checkDomains(config, at);
    checkNames(config, at);
    const manager = 'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager';
    const isInline = around.inside(manager) !== undefined;
    checkClusters(
      config,
      at,
      scope,
      isInline ? config.validate_clusters !== false : config.validate_clusters === true,
    );
    const maxBody = config.max_direct_response_body_size_bytes ?? 4096;
    config.virtual_hosts.forEach((host, i) => {
      const here = at.field('virtual_hosts', i);
      checkOrder(host, here);
      for (const [j, route] of host.routes.entries()) checkDirectResponse(route, maxBody, here, j);
    });
  }),
  rule('envoy.config.route.v3.RouteAction', (action, at) => {
    checkRewrites(action, at);
    checkWeights(action, at);
    checkTimeouts(action, at);
    const seen = new Set<string>();
    action.upgrade_configs.forEach((upgrade, i) => {
      const type = upgrade.upgrade_type.toLowerCase();
      if (seen.has(type)) {
        at.field('upgrade_configs', i).fail(`"${upgrade.upgrade_type}" is configured twice`, {
          rule: 'duplicate-upgrade',
          got: upgrade.upgrade_type,
          envoy: `Duplicate upgrade ${upgrade.upgrade_type}`,
        });
      }
      seen.add(type);
      if (upgrade.connect_config !== undefined && type !== 'connect' && type !== 'connect-udp') {
        at.field('upgrade_configs', i)
          .field('connect_config')
          .fail(`"connect_config" is for CONNECT, not for ${upgrade.upgrade_type}`, {
            rule: 'route-config',
            point: 'key',
            envoy: `Non-CONNECT upgrade type ${upgrade.upgrade_type} has ConnectConfig`,
            suggestion: 'write "upgrade_type: CONNECT"',
          });
      }
    });
  }),
  rule('envoy.config.route.v3.ScopedRouteConfiguration', (scope, at, _scope, around) => {
    const manager = 'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager';
    if (scope.route_configuration !== undefined || around.inside(manager) === undefined) return;
    at.fail('a scope in the file brings its own "route_configuration"', {
      rule: 'route-config',
      envoy: 'You must specify a route_configuration with inline scoped routes.',
      suggestion: 'add "route_configuration"',
    });
  }),
  rule('envoy.config.route.v3.RetryPolicy', (policy, at) => {
    const backOff = policy.retry_back_off;
    if (backOff?.base_interval !== undefined && backOff.max_interval !== undefined) {
      if (milliseconds(backOff.max_interval) < milliseconds(backOff.base_interval)) {
        at.field('retry_back_off').fail('"max_interval" is shorter than "base_interval"', {
          rule: 'retry-policy',
          envoy: 'retry_policy.max_interval must greater than or equal to the base_interval',
          suggestion: 'swap them',
        });
      }
    }
    checkRetryOn(policy.retry_on, at);
  }),
];

function checkDomains(config: RouteConfiguration, at: ParseContext): void {
  const seen = new Map<string, number>();
  config.virtual_hosts.forEach((host, i) => {
    host.domains.forEach((domain, j) => {
      const name = domain.toLowerCase();
      const here = () => at.field('virtual_hosts', i).field('domains', j);
      const first = seen.get(name);
      if (first !== undefined) {
        const words =
          name === '*'
            ? `Only a single wildcard domain is permitted in route ${config.name}`
            : `Only unique values for domains are permitted. Duplicate entry of domain ${name} in route ${config.name}`;
        const other = config.virtual_hosts[first]!;
        here().fail(
          first === i
            ? `the domain "${domain}" stands twice`
            : `the virtual host "${other.name}" has the domain "${domain}" too`,
          {
            rule: 'duplicate-domain',
            got: domain,
            envoy: words,
            suggestion: 'remove one of them, or join the two virtual hosts',
          },
        );
      } else seen.set(name, i);
      const star = name.indexOf('*');
      if (star > 0 && star < name.length - 1) {
        here().warn(`"${domain}" matches nothing: a star only counts at the beginning or the end`, {
          rule: 'unreachable-domain',
          got: domain,
          expected: 'a name, *.suffix, prefix.* or *',
        });
      } else if (/^[a-z]+:\/\//.test(name) || (name.includes('/') && star !== 0)) {
        here().warn(`"${domain}" matches nothing: a host name has no scheme and no path`, {
          rule: 'unreachable-domain',
          got: domain,
          suggestion: `write "${name.replace(/^[a-z]+:\/\//, '').replace(/\/.*/, '')}"`,
        });
      }
    });
  });
}

function checkNames(config: RouteConfiguration, at: ParseContext): void {
  const seen = new Set<string>();
  config.virtual_hosts.forEach((host, i) => {
    if (seen.has(host.name)) {
      at.field('virtual_hosts', i)
        .field('name')
        .warn(`there is another virtual host "${host.name}": their statistics cannot be told apart`, {
          rule: 'duplicate-name',
          got: host.name,
          suggestion: 'rename one of them',
        });
    }
    seen.add(host.name);
  });
}

function checkClusters(
  config: RouteConfiguration,
  at: ParseContext,
  scope: RuleScope,
  isChecked: boolean,
): void {
  // A cluster that lost its name may be any of those that are missing.
  if ((scope.isPartial && scope.clusters.size === 0) || scope.clusters.has('')) return;
  const check = (name: string, here: () => ParseContext, kind: '' | 'weighted ' | 'shadow ') => {
    if (name === '' || scope.clusters.has(name)) return;
    const similar = scope.nearestCluster(name);
    const details = {
      got: name,
      expected: 'a cluster that is defined',
      suggestion:
        similar !== undefined
          ? `did you mean "${similar}"?`
          : scope.clusters.size === 1
            ? `"${name}" is not defined; the cluster here is "${[...scope.clusters.keys()][0]}"`
            : `define the cluster "${name}"`,
    };
    const problem = `the cluster "${name}" is not defined`;
    const envoy = `route: unknown ${kind}cluster '${name}'`;
    if (isChecked && !scope.isPartial) here().fail(problem, { rule: 'unknown-cluster', envoy, ...details });
    else if (!scope.hasDynamicClusters)
      here().warn(problem, { rule: 'unknown-cluster-unchecked', ...details });
  };
  const checkMirrors = (policies: RouteAction['request_mirror_policies'], here: () => ParseContext) => {
    for (const [i, { cluster, cluster_header }] of policies.entries()) {
      if ((cluster === '') === (cluster_header === '')) {
        here().field('request_mirror_policies', i).fail('needs "cluster" or "cluster_header", and not both', {
          rule: 'route-config',
          envoy: 'Exactly one of cluster or cluster_header in request mirror policy need to be specified',
        });
      }
      check(cluster, () => here().field('request_mirror_policies', i).field('cluster'), 'shadow ');
    }
  };
  checkMirrors(config.request_mirror_policies, () => at);
  config.virtual_hosts.forEach((host, i) => {
    const hostAt = () => at.field('virtual_hosts', i);
    checkMirrors(host.request_mirror_policies, hostAt);
    for (let j = 0; j < host.routes.length; j++) {
      const action = host.routes[j]!.route;
      if (action === undefined) continue;
      const here = () => hostAt().field('routes', j).field('route');
      if (action.cluster !== undefined) check(action.cluster, () => here().field('cluster'), '');
      for (const [k, { name }] of (action.weighted_clusters?.clusters ?? []).entries()) {
        check(name, () => here().field('weighted_clusters').field('clusters', k).field('name'), 'weighted ');
      }
      if (action.request_mirror_policies.length > 0) checkMirrors(action.request_mirror_policies, here);
    }
  });
}

function checkWeights(action: RouteAction, at: ParseContext): void {
  const weighted = action.weighted_clusters;
  if (weighted === undefined || weighted.clusters.length === 0) return;
  const here = at.field('weighted_clusters');
  weighted.clusters.forEach((it, i) => {
    if (it.name !== '' || it.cluster_header !== '') return;
    here.field('clusters', i).fail('"name" is missing', {
      rule: 'weighted-clusters',
      envoy: 'At least one of name or cluster_header need to be specified',
      expected: '"name" or "cluster_header"',
      suggestion: 'add "name"',
    });
  });
  const sum = weighted.clusters.reduce((total, it) => total + (it.weight ?? 0), 0);
  const fail = (problem: string, envoy: string) =>
    here.fail(problem, {
      rule: 'weighted-clusters',
      envoy,
      got: sum,
      suggestion: 'give each cluster a "weight"',
    });
  if (sum === 0)
    fail(
      'all weights together are 0: no cluster is ever chosen',
      'Sum of weights in the weighted_cluster must be greater than 0.',
    );
  else if (sum > 0xffffffff)
    fail(
      `all weights together are ${sum}`,
      `The sum of weights of all weighted clusters of route  exceeds 4294967295`,
    );
}

function checkRewrites(action: RouteAction, at: ParseContext): void {
  const paths = [
    action.prefix_rewrite !== '' ? 'prefix_rewrite' : '',
    action.regex_rewrite !== undefined ? 'regex_rewrite' : '',
    action.path_rewrite_policy !== undefined ? 'path_rewrite_policy' : '',
  ].filter((it) => it !== '');
  if (paths.length > 1) {
    at.field(paths[1]!).fail(`"${paths.join('" and "')}" exclude each other`, {
      rule: 'route-config',
      point: 'key',
      envoy: 'Specify only one of prefix_rewrite, regex_rewrite or path_rewrite_policy',
      suggestion: `keep one of ${paths.join(', ')}`,
    });
  }
}

function checkDirectResponse(route: Route, maxBody: number, hostAt: ParseContext, index: number): void {
  const body = route.direct_response?.body;
  if (body === undefined) return;
  const at = () => hostAt.field('routes', index).field('direct_response').field('body');
  if (body.filename !== undefined && !existsSync(body.filename)) {
    at()
      .field('filename')
      .fail(`the file "${body.filename}" does not exist`, {
        rule: 'missing-file',
        got: body.filename,
        envoy: `file ${body.filename} does not exist`,
      });
  }
  const size =
    body.inline_string !== undefined
      ? Buffer.byteLength(body.inline_string)
      : (body.inline_bytes?.length ?? 0);
  if (size > maxBody) {
    at().fail(`the body has ${size} bytes, more than ${maxBody}`, {
      rule: 'route-config',
      envoy: `response body size is ${size} bytes; maximum is ${maxBody}`,
      suggestion: `set "max_direct_response_body_size_bytes: ${size}" in the route configuration`,
    });
  }
}

const retryTokens = new Set([
  '5xx',
  'gateway-error',
  'reset',
  'reset-before-request',
  'connect-failure',
  'envoy-ratelimited',
  'retriable-4xx',
  'refused-stream',
  'retriable-status-codes',
  'retriable-headers',
  'http3-post-connect-failure',
  'cancelled',
  'deadline-exceeded',
  'internal',
  'resource-exhausted',
  'unavailable',
]);

function checkRetryOn(retryOn: string, at: ParseContext): void {
  if (retryOn === '') return;
  const unknown = retryOn
    .split(',')
    .map((it) => it.trim())
    .filter((it) => it !== '' && !retryTokens.has(it));
  if (unknown.length === 0) return;
  const similar = nearest(unknown[0]!, retryTokens);
  at.field('retry_on').warn(`"${unknown.join('", "')}" is no reason to retry: Envoy ignores it`, {
    rule: 'retry-policy',
    got: retryOn,
    envoy: `Unknown retry_on policy token(s) [${unknown.join(', ')}] in retry_on config '${retryOn}'. These tokens will be silently ignored.`,
    expected: `any of ${[...retryTokens].join(', ')}`,
    ...(similar !== undefined && { suggestion: `did you mean "${similar}"?` }),
  });
}

const defaultTimeoutMs = 15_000;

function checkTimeouts(action: RouteAction, at: ParseContext): void {
  const timeoutMs = action.timeout === undefined ? defaultTimeoutMs : milliseconds(action.timeout);
  const perTry = action.retry_policy?.per_try_timeout;
  if (
    perTry !== undefined &&
    timeoutMs > 0 &&
    milliseconds(perTry) >= timeoutMs &&
    milliseconds(perTry) > 0
  ) {
    const which =
      action.timeout === undefined
        ? `default timeout of the route, ${seconds(timeoutMs)}`
        : `timeout of the route, ${seconds(timeoutMs)}`;
    at.field('retry_policy')
      .field('per_try_timeout')
      .warn(
        `one try may take ${seconds(milliseconds(perTry))}, as long as the ${which}: no second try ever happens`,
        {
          rule: 'timeout-conflict',
          expected: `less than ${seconds(timeoutMs)}`,
          suggestion: 'shorten "per_try_timeout" or lengthen "timeout"',
        },
      );
  }
  const idle = action.idle_timeout;
  if (idle !== undefined && action.timeout !== undefined && timeoutMs > 0 && milliseconds(idle) > timeoutMs) {
    at.field('idle_timeout').warn(
      `the idle timeout never fires: the request ends after ${seconds(timeoutMs)} anyway`,
      {
        rule: 'timeout-conflict',
        expected: `at most ${seconds(timeoutMs)}`,
        suggestion: 'shorten "idle_timeout", or set "timeout: 0s" for streams',
      },
    );
  }
}

/** A route without conditions that takes every path with a prefix hides the later ones below that prefix. */
function checkOrder(host: VirtualHost, at: ParseContext): void {
  // Prefixes and paths that a route before takes whatever the headers are.
  const prefixes: { readonly prefix: string; readonly index: number }[] = [];
  const known = new Map<string, number>();
  let rootIndex = -1;
  for (let i = 0; i < host.routes.length; i++) {
    const match = host.routes[i]!.match;
    if (match === undefined) continue;
    const text = match.prefix ?? match.path ?? match.path_separated_prefix;
    const blocker =
      rootIndex >= 0 ? rootIndex : text === undefined ? -1 : shadowedBy(match, text, prefixes, known);
    if (blocker >= 0) {
      const other = host.routes[blocker]!.match!;
      at.field('routes', i).warn(
        `no request gets here: routes[${blocker}] takes everything with the ${other.path !== undefined ? 'path' : 'prefix'} "${other.prefix ?? other.path ?? other.path_separated_prefix}"`,
        {
          rule: 'unreachable-route',
          ...(text !== undefined && { got: text }),
          expected: 'routes in the order from special to general',
          suggestion: `move this route before routes[${blocker}]`,
        },
      );
      continue;
    }
    if (!isUnconditional(match)) continue;
    if (match.prefix === '/' || match.prefix === '') rootIndex = i;
    else if (match.prefix !== undefined) prefixes.push({ prefix: match.prefix, index: i });
    else if (match.path !== undefined) known.set(match.path, i);
  }
}

/** Looks at no more than this many prefixes per route: tables are long, and usually of distinct ones. */
const maxCompared = 64;

function shadowedBy(
  match: RouteMatch,
  text: string,
  prefixes: readonly { readonly prefix: string; readonly index: number }[],
  paths: ReadonlyMap<string, number>,
): number {
  if (match.path !== undefined) {
    const same = paths.get(text);
    if (same !== undefined && match.case_sensitive?.valueOf() !== false) return same;
  }
  if (match.case_sensitive === false) return -1;
  for (let i = Math.max(0, prefixes.length - maxCompared); i < prefixes.length; i++) {
    if (text.startsWith(prefixes[i]!.prefix)) return prefixes[i]!.index;
  }
  return -1;
}

function isUnconditional(match: RouteMatch): boolean {
  return (
    match.headers.length === 0 &&
    match.query_parameters.length === 0 &&
    match.cookies.length === 0 &&
    match.grpc === undefined &&
    match.tls_context === undefined &&
    match.runtime_fraction === undefined &&
    match.dynamic_metadata.length === 0 &&
    match.filter_state.length === 0 &&
    match.case_sensitive !== false
  );
}
