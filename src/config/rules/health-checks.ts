// What Envoy checks when it builds the health checks of a cluster.
import type { MessageTypes } from '#schema/messages/type-map.ts';
import type { ParseContext } from '../parse-context.ts';
import { type Rule, rule } from './rule.ts';

type Cluster = MessageTypes['envoy.config.cluster.v3.Cluster'];
type HttpHealthCheck = MessageTypes['envoy.config.core.v3.HealthCheck.HttpHealthCheck'];
type Payload = MessageTypes['envoy.config.core.v3.HealthCheck.Payload'];

const name = 'health-check-config';

export const healthCheckRules: readonly Rule[] = [
  rule('envoy.config.core.v3.HealthCheck.HttpHealthCheck', (check, at) => {
    for (const kind of ['expected', 'retriable'] as const) checkRanges(check, kind, at);
    const method = check.method === 'METHOD_UNSPECIFIED' ? 'GET' : check.method;
    if (check.send !== undefined && /^(?:GET|HEAD|DELETE|TRACE)$/.test(method))
      at.field('send').fail(`a ${method} has no body`, {
        rule: name,
        point: 'key',
        envoy: `HTTP health check cannot specify a request payload with method '${method}'. Only methods that support a request body (POST, PUT, PATCH, OPTIONS) can be used with payload.`,
        suggestion: 'set "method" to POST, or remove "send"',
      });
    const most = Number(check.response_buffer_size ?? 1024n);
    const expected = check.receive.reduce((sum, it) => sum + lengthOf(it), 0);
    if (most > 0 && expected > most)
      at.field('receive').fail('more is expected of a response than is looked at', {
        rule: name,
        envoy: `The expected response length '${expected}' is over than http health response buffer size '${most}'`,
        suggestion: `set "response_buffer_size" to ${expected} or more, or to 0`,
      });
  }),
  rule('envoy.config.core.v3.HealthCheck.Payload', (payload, at) => {
    if (payload.text === undefined || /^(?:[0-9a-fA-F]{2})+$/.test(payload.text)) return;
    at.field('text').fail('this is not a text of hexadecimal digits', {
      rule: name,
      got: payload.text,
      envoy: `invalid hex string '${payload.text}'`,
      expected: 'pairs of hexadecimal digits',
      suggestion: `write "${Buffer.from(payload.text).toString('hex')}" for these letters`,
    });
  }),
];

/** What depends on the cluster. `at`: of the cluster. */
export function checkHealthChecks(cluster: Cluster, at: ParseContext, usesHttp2: boolean): void {
  const seen = new Set<string>();
  const hasSeveral = cluster.health_checks.length > 1;
  const socket = cluster.transport_socket?.typed_config?.['@type'] ?? '';
  const isPlain = cluster.transport_socket === undefined || socket.endsWith('.raw_buffer.v3.RawBuffer');
  cluster.health_checks.forEach((check, i) => {
    const here = at.field('health_checks', i);
    if (hasSeveral && check.name === '')
      here.fail('each of several health checks needs a name', {
        rule: name,
        envoy: `health check at index ${i} is missing a name; all health checks must have a name when multiple health checks are configured`,
        suggestion: 'add "name"',
      });
    else if (hasSeveral && seen.has(check.name))
      here.field('name').fail('this is the name of another health check', {
        rule: name,
        got: check.name,
        envoy: `duplicate health check name '${check.name}' at index ${i}; all health check names must be unique within a cluster`,
      });
    seen.add(check.name);
    if (check.http_health_check?.use_alpn_protocol === true)
      checkAlpn(cluster.name, isPlain, check.http_health_check, here.field('http_health_check'));
    if (check.grpc_health_check === undefined || usesHttp2) return;
    here.field('grpc_health_check').fail('a gRPC health check needs a cluster with HTTP/2', {
      rule: name,
      point: 'key',
      envoy: `${cluster.name} cluster must support HTTP/2 for gRPC healthchecking`,
      suggestion: `add HttpProtocolOptions with "explicit_http_config: {http2_protocol_options: {}}" to the cluster`,
    });
  });
}

function checkAlpn(cluster: string, isPlain: boolean, check: HttpHealthCheck, at: ParseContext): void {
  if (check.codec_client_type === 'HTTP3')
    at.field('use_alpn_protocol').fail('HTTP/3 is not chosen by ALPN', {
      rule: name,
      envoy: `use_alpn_protocol cannot be combined with codec_client_type HTTP3 for the health check of cluster ${cluster}`,
    });
  else if (isPlain)
    at.field('use_alpn_protocol').fail('without TLS there is no ALPN', {
      rule: name,
      envoy: `use_alpn_protocol configured for the health check of cluster ${cluster} which has a non-ALPN transport socket`,
      suggestion: 'add a TLS "transport_socket", or remove it',
    });
}

function checkRanges(check: HttpHealthCheck, kind: 'expected' | 'retriable', at: ParseContext): void {
  check[`${kind}_statuses`].forEach((range, i) => {
    const here = at.field(`${kind}_statuses`, i);
    const { start, end } = range;
    const words = `Invalid http ${kind} status range: expecting`;
    if (start >= end)
      here.fail('the range is empty: "end" is not part of it', {
        rule: name,
        envoy: `${words} start < end, but found start=${start} and end=${end}`,
        expected: 'start < end',
        suggestion: start === end ? `write end: ${Number(end) + 1}` : 'swap start and end',
      });
    else if (start < 100n)
      here.field('start').fail('no status is less than 100', {
        rule: name,
        envoy: `${words} start >= 100, but found start=${start}`,
      });
    else if (end > 600n)
      here.field('end').fail('no status is more than 599', {
        rule: name,
        envoy: `${words} end <= 600, but found end=${end}`,
      });
  });
}

function lengthOf({ text, binary }: Payload): number {
  return text === undefined ? (binary?.length ?? 0) : text.length / 2;
}
