// HTTP filters that ask services or count requests: what depends on several of their fields, or on where they stand.
import type { MessageTypes } from '#schema/messages/type-map.ts';
import type { ParseContext } from '../parse-context.ts';
import { checkFormat } from './formats.ts';
import { milliseconds, type Rule, rule } from './rule.ts';

const extAuthz = 'envoy.extensions.filters.http.ext_authz.v3';
const localRateLimit = 'envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit';
const minFillMs = 50;

type RouteRateLimit = MessageTypes['envoy.config.route.v3.RateLimit'];

export const httpFilterRules: readonly Rule[] = [
  rule(`${extAuthz}.ExtAuthz`, (it, at) => {
    const ownList = it.http_service?.authorization_request?.allowed_headers;
    if (it.allowed_headers !== undefined && ownList !== undefined)
      refuse(at.field('allowed_headers'), 'Invalid duplicate configuration for allowed_headers.');
  }),
  rule(`${extAuthz}.HttpService`, ({ path_override: override, path_prefix: prefix }, at) => {
    if (prefix !== '' && override !== '')
      refuse(at.field('path_override'), 'Only one of path_prefix or path_override may be set, not both.');
    else if (prefix !== '' && !prefix.startsWith('/'))
      refuse(at.field('path_prefix'), 'path_prefix should start with "/".', prefix);
    else if (override !== '' && !override.startsWith('/'))
      refuse(at.field('path_override'), 'path_override should start with "/".', override);
  }),
  rule(`${extAuthz}.AuthorizationRequest`, ({ headers_to_add: headers }, at) => {
    headers.forEach(({ key }, i) => {
      if (!key.startsWith(':') && key.toLowerCase() !== 'host') return;
      const here = at.field('headers_to_add', i).field('key');
      refuse(here, ':-prefixed or host headers may not be modified', key);
    });
  }),
  rule(`${extAuthz}.CheckSettings`, (it, at) => {
    if (it.disable_request_body_buffering && it.with_request_body !== undefined)
      refuse(
        at,
        'Invalid configuration for check_settings. Only one of disable_request_body_buffering or with_request_body can be set.',
      );
  }),
  rule('envoy.extensions.filters.http.ratelimit.v3.RateLimit', (it, at) =>
    checkOwnLimits(it.rate_limits, at),
  ),
  rule('envoy.extensions.filters.http.ratelimit.v3.RateLimitPerRoute', (it, at) =>
    checkOwnLimits(it.rate_limits, at),
  ),
  rule(localRateLimit, (it, at, scope, around) => {
    const { token_bucket: bucket } = it;
    if (bucket === undefined && around.inside('envoy.config.route.v3.VirtualHost') !== undefined)
      refuse(at, 'local rate limit token bucket must be set for per filter configs');
    if (bucket?.fill_interval !== undefined && milliseconds(bucket.fill_interval) < minFillMs)
      refuse(
        at.field('token_bucket').field('fill_interval'),
        'local rate limit token bucket fill timer must be >= 50ms',
      );
    const seen = new Set<string>();
    it.descriptors.forEach(({ entries, token_bucket: own }, i) => {
      const here = at.field('descriptors', i);
      if (own?.fill_interval !== undefined && milliseconds(own.fill_interval) < minFillMs)
        refuse(
          here.field('token_bucket').field('fill_interval'),
          'local rate limit descriptor token bucket fill timer must be >= 50ms',
        );
      const text = entries.map(({ key, value }) => `${key}=${value}`).join(', ');
      if (seen.has(text)) refuse(here, `duplicate descriptor in the local rate descriptor: ${text}`);
      seen.add(text);
    });
    checkOwnLimits(it.rate_limits, at);
    it.rate_limits.forEach((limit, i) => {
      if (limit.limit !== undefined)
        refuse(at.field('rate_limits', i).field('limit'), "'limit' field is not supported");
    });
    if (it.local_cluster_rate_limit === undefined) return;
    const here = at.field('local_cluster_rate_limit');
    if (it.local_rate_limit_per_downstream_connection)
      refuse(
        here,
        'local_cluster_rate_limit is set and local_rate_limit_per_downstream_connection is set to true',
      );
    else if (!scope.isPartial && (scope.bootstrap?.cluster_manager?.local_cluster_name ?? '') === '')
      refuse(here, 'local_cluster_rate_limit is set but no local cluster name is present');
  }),
  rule('envoy.extensions.filters.network.ratelimit.v3.RateLimit', ({ descriptors }, at) => {
    descriptors.forEach(({ entries }, i) => {
      entries.forEach(({ value }, j) => {
        checkFormat(value, at.field('descriptors', i).field('entries', j).field('value'));
      });
    });
  }),
];

/** Policies that stand in a filter's configuration have no stages and no runtime keys. */
function checkOwnLimits(limits: readonly RouteRateLimit[], at: ParseContext): void {
  limits.forEach(({ disable_key: key, hits_addend: hits, stage }, i) => {
    const here = at.field('rate_limits', i);
    if (stage !== undefined || key !== '')
      refuse(here, "'stage' field and 'disable_key' field are not supported");
    if (hits === undefined) return;
    if ((hits.format === '') === (hits.number === undefined))
      refuse(here.field('hits_addend'), 'hits_addend must contain either a format or a number');
    checkFormat(hits.format, here.field('hits_addend').field('format'));
  });
}

function refuse(at: ParseContext, words: string, got?: string): void {
  at.fail(words, { rule: 'http-config', envoy: words, ...(got !== undefined && { got }) });
}
