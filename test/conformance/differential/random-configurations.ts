// Seeded random connection managers with their filters and routes, and requests that meet them.
import { Random } from './random-requests.ts';

export type Json = Record<string, unknown>;

export interface RandomConfiguration {
  readonly manager: Json;
  readonly requests: readonly string[];
}

const type = (name: string) => `type.googleapis.com/envoy.${name}`;
const httpFilter = (name: string, message: string, config: Json = {}): Json => ({
  name,
  typed_config: { '@type': type(`extensions.filters.http.${message}`), ...config },
});
const always = { default_value: { numerator: 100 } };

/** Formats whose values do not change from run to run. */
const formats = [
  'v',
  'a b',
  '%REQ(:path)%',
  '%REQ(x-a?:authority)%',
  '%REQ(x-none)%',
  'p-%REQ(x-b):3%-s',
  '%RESP(x-up)%',
  '%RESP(content-type?x-up)%',
  '%PROTOCOL%',
  '%RESPONSE_CODE%',
  '%RESPONSE_FLAGS%',
  '%RESPONSE_FLAGS_LONG%',
  '%RESPONSE_CODE_DETAILS%',
  '%ROUTE_NAME%',
  '%UPSTREAM_CLUSTER%',
  '%UPSTREAM_REQUEST_ATTEMPT_COUNT%',
  '%BYTES_RECEIVED%',
  '%METADATA(ROUTE:m:a)%',
  '%METADATA(ROUTE:m)%',
  '%METADATA(VIRTUAL_HOST:m:n)%',
  '%CLUSTER_METADATA(m:a)%',
  '%DYNAMIC_METADATA(none:x)%',
  '%VIRTUAL_CLUSTER_NAME%',
  '%PATH(NQ:ORIG)%',
  '%PATH(WQ:PATH)%',
  '%QUERY_PARAM(q)%',
  '%QUERY_PARAMS(DECODED)%',
  '%REQUESTED_SERVER_NAME(HOST_FIRST:ORIG_OR_HOST)%',
  '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%',
  '%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%',
  '%FILTER_STATE(state:PLAIN)%',
  '%FILTER_STATE(state)%',
  '%LISTENER_NAME%',
  '%STREAM_ID%',
  '%CEL(request.path)%',
  '%CEL(response.code)%',
  '%TYPED_CEL(request.headers)%',
  '%GRPC_STATUS%',
  '%LOCAL_REPLY_BODY%',
  '%XFCC_VALUE(uri)%',
  '%ACCESS_LOG_TYPE%',
  '%REQ(:SCHEME)%',
  '%RESP(:STATUS)%',
  '%UPSTREAM_PROTOCOL%',
  '%UPSTREAM_TRANSPORT_FAILURE_REASON%',
  '%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%',
  '%QUERY_PARAM(q):1%',
  '%REQ(x-forwarded-for?x-a):6%',
  '100%%',
];
/** Of responses only, or of requests that are over. */
const appendActions = [
  'APPEND_IF_EXISTS_OR_ADD',
  'ADD_IF_ABSENT',
  'OVERWRITE_IF_EXISTS_OR_ADD',
  'OVERWRITE_IF_EXISTS',
];
const codes = ['200', '401', '403', '404', '429', '500', '503'];

class Generator {
  readonly random: Random;
  #names = 0;

  constructor(seed: number) {
    this.random = new Random(seed);
  }

  chance(p: number): boolean {
    return this.random.chance(p);
  }

  pick<T>(list: readonly T[]): T {
    return this.random.pick(list);
  }

  some<T>(most: number, make: () => T): T[] {
    return Array.from({ length: this.random.below(most + 1) }, make);
  }

  /** Each of the fields with a probability of its own. */
  fields(p: number, all: Record<string, () => unknown>): Json {
    const made: Json = {};
    for (const [name, make] of Object.entries(all)) if (this.chance(p)) made[name] = make();
    return made;
  }

  name(): string {
    return `n${this.#names++}`;
  }

  // Connection manager ------------------------------------------------------------------------------------------------------

  manager(): Json {
    const { chance, pick } = this.bound;
    const options = this.fields(0.2, {
      server_name: () => pick(['mine', 'other server']),
      server_header_transformation: () => pick(['OVERWRITE', 'APPEND_IF_ABSENT', 'PASS_THROUGH']),
      via: () => '1.1 here',
      add_user_agent: () => true,
      use_remote_address: () => true,
      xff_num_trusted_hops: () => pick([0, 1, 2]),
      skip_xff_append: () => true,
      append_x_forwarded_port: () => true,
      internal_address_config: () => ({
        unix_sockets: false,
        cidr_ranges: [{ address_prefix: pick(['10.0.0.0', '127.0.0.0']), prefix_len: 8 }],
      }),
      preserve_external_request_id: () => true,
      always_set_request_id_in_response: () => true,
      normalize_path: () => chance(0.8),
      merge_slashes: () => true,
      path_with_escaped_slashes_action: () =>
        pick(['KEEP_UNCHANGED', 'REJECT_REQUEST', 'UNESCAPE_AND_REDIRECT', 'UNESCAPE_AND_FORWARD']),
      strip_trailing_host_dot: () => true,
      scheme_header_transformation: () =>
        chance(0.5) ? { scheme_to_overwrite: pick(['https', 'http']) } : { match_upstream: true },
      original_ip_detection_extensions: () => [this.ipDetection()],
      request_id_extension: () => ({
        typed_config: {
          '@type': type('extensions.request_id.uuid.v3.UuidRequestIdConfig'),
          pack_trace_reason: chance(0.5),
        },
      }),
      proxy_100_continue: () => true,
      stream_error_on_invalid_http_message: () => true,
      upgrade_configs: () => [{ upgrade_type: 'websocket' }],
      proxy_status_config: () =>
        this.fields(0.4, {
          remove_details: () => true,
          remove_response_flags: () => true,
          set_recommended_response_code: () => true,
          literal_proxy_name: () => 'p',
        }),
      forward_client_cert_details: () =>
        pick(['SANITIZE', 'FORWARD_ONLY', 'APPEND_FORWARD', 'SANITIZE_SET', 'ALWAYS_FORWARD_ONLY']),
      common_http_protocol_options: () =>
        this.fields(0.5, {
          max_headers_count: () => pick([6, 100]),
          headers_with_underscores_action: () => pick(['ALLOW', 'REJECT_REQUEST', 'DROP_HEADER']),
          max_requests_per_connection: () => 1,
        }),
      http_protocol_options: () =>
        this.fields(0.4, {
          accept_http_10: () => true,
          default_host_for_http_10: () => 'ten.example',
          header_key_format: () => ({ proper_case_words: {} }),
          enable_trailers: () => true,
          allow_chunked_length: () => true,
          allow_custom_methods: () => true,
          allow_absolute_url: () => chance(0.5),
        }),
      max_request_headers_kb: () => 1,
      local_reply_config: () => this.localReplies(),
      early_header_mutation_extensions: () => [
        {
          name: 'early',
          typed_config: {
            '@type': type('extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation'),
            mutations: [this.mutation(), ...this.some(2, () => this.mutation())],
          },
        },
      ],
    });
    // Envoy takes only one of them.
    if (options.use_remote_address || options.xff_num_trusted_hops !== undefined)
      delete options.original_ip_detection_extensions;
    if (chance(0.2)) options[pick(['strip_matching_host_port', 'strip_any_host_port'])] = true;
    return {
      generate_request_id: false,
      ...options,
      route_config: this.routeConfiguration(),
      http_filters: [
        ...this.filters(),
        httpFilter('envoy.filters.http.router', 'router.v3.Router', this.router()),
      ],
    };
  }

  /** The methods that are used without `this`. */
  readonly bound = {
    chance: (p: number) => this.chance(p),
    pick: <T>(list: readonly T[]) => this.pick(list),
  };

  ipDetection(): Json {
    const { chance } = this.bound;
    return {
      name: 'detection',
      typed_config: chance(0.5)
        ? {
            '@type': type('extensions.http.original_ip_detection.custom_header.v3.CustomHeaderConfig'),
            header_name: 'x-forwarded-for',
            ...this.fields(0.3, {
              allow_extension_to_set_address_as_trusted: () => true,
              reject_with_status: () => ({ code: 'Unauthorized' }),
            }),
          }
        : {
            '@type': type('extensions.http.original_ip_detection.xff.v3.XffConfig'),
            ...this.fields(0.3, { xff_num_trusted_hops: () => 1, skip_xff_append: () => chance(0.5) }),
          },
    };
  }

  router(): Json {
    return this.fields(0.1, {
      suppress_envoy_headers: () => true,
      respect_expected_rq_timeout: () => true,
      strict_check_headers: () => ['x-envoy-upstream-rq-timeout-ms', 'x-envoy-retry-on'],
    });
  }

  localReplies(): Json {
    const { chance, pick } = this.bound;
    return {
      mappers: this.some(2, () => ({
        filter: this.logFilter(2),
        ...this.fields(0.5, {
          status_code: () => Number(pick(codes)),
          body: () => ({ inline_string: pick(['mapped', '%LOCAL_REPLY_BODY%', '']) }),
          body_format_override: () => this.format(),
          headers_to_add: () => this.headersToAdd(),
        }),
      })),
      ...(chance(0.6) && { body_format: this.format() }),
    };
  }

  format(): Json {
    const { chance, pick } = this.bound;
    const format: Json = chance(0.5)
      ? { text_format_source: { inline_string: `${pick(formats)} ${pick(formats)}\n` } }
      : {
          json_format: {
            a: pick(formats),
            b: `${pick(formats)} ${pick(formats)}`,
            c: { d: pick(formats), e: [pick(formats), 'x', 1, true] },
          },
        };
    if (chance(0.2)) format.omit_empty_values = true;
    if (chance(0.3)) format.content_type = 'text/html; charset=UTF-8';
    return format;
  }

  logFilter(depth: number): Json {
    const { chance, pick } = this.bound;
    const kind = this.random.below(depth > 0 ? 8 : 6);
    switch (kind) {
      case 0:
        return {
          status_code_filter: {
            comparison: {
              op: pick(['EQ', 'GE', 'LE', 'NE']),
              value: { default_value: Number(pick(codes)), runtime_key: 'none' },
            },
          },
        };
      case 1:
        return {
          response_flag_filter: {
            flags: chance(0.2) ? [] : [pick(['NR', 'UF', 'UC', 'UT', 'UH', 'DPE', 'NC', 'FI'])],
          },
        };
      case 2:
        return { header_filter: { header: this.headerMatcher() } };
      case 3:
        return { not_health_check_filter: {} };
      case 4:
        return {
          grpc_status_filter: {
            statuses: [pick(['UNAVAILABLE', 'UNIMPLEMENTED', 'UNKNOWN'])],
            exclude: chance(0.3),
          },
        };
      case 5:
        return {
          duration_filter: { comparison: { op: 'GE', value: { default_value: 0, runtime_key: 'none' } } },
        };
      default:
        return {
          [kind === 6 ? 'and_filter' : 'or_filter']: {
            filters: [this.logFilter(depth - 1), this.logFilter(depth - 1)],
          },
        };
    }
  }

  filters(): Json[] {
    const { chance } = this.bound;
    const all: Json[] = [];
    if (chance(0.4))
      all.push(
        httpFilter('state', 'set_filter_state.v3.Config', {
          on_request_headers: [
            {
              object_key: 'state',
              factory_key: 'envoy.string',
              format_string: { text_format_source: { inline_string: this.pick(formats) } },
            },
          ],
        }),
      );
    if (chance(0.4))
      all.push(httpFilter('mutation', 'header_mutation.v3.HeaderMutation', { mutations: this.mutations() }));
    if (chance(0.3)) all.push(httpFilter('envoy.filters.http.cors', 'cors.v3.Cors'));
    if (chance(0.2)) all.push(httpFilter('csrf', 'csrf.v3.CsrfPolicy', { filter_enabled: always }));
    if (chance(0.3))
      all.push(
        httpFilter('fault', 'fault.v3.HTTPFault', {
          abort: { http_status: 418, percentage: { numerator: 100 } },
          headers: [this.headerMatcher()],
        }),
      );
    if (chance(0.25))
      all.push(
        httpFilter('rbac', 'rbac.v3.RBAC', {
          rules: {
            action: this.pick(['ALLOW', 'DENY']),
            policies: { p: { permissions: [{ header: this.headerMatcher() }], principals: [{ any: true }] } },
          },
        }),
      );
    if (chance(0.25))
      all.push(
        httpFilter('limit', 'local_ratelimit.v3.LocalRateLimit', {
          stat_prefix: 'limit',
          token_bucket: { max_tokens: 10_000, tokens_per_fill: 10_000, fill_interval: '3600s' },
          filter_enabled: always,
          filter_enforced: always,
          response_headers_to_add: this.headersToAdd(),
        }),
      );
    if (chance(0.2)) all.push(httpFilter('buffer', 'buffer.v3.Buffer', { max_request_bytes: 20 }));
    return all.sort(() => this.random.next() - 0.5);
  }

  // Headers -----------------------------------------------------------------------------------------------------------------

  headersToAdd(): Json[] {
    const { pick } = this.bound;
    return this.some(3, () => ({
      header: {
        key: pick(['x-a', 'x-b', 'x-new', 'X-Mixed', 'content-type', 'x-up', 'server']),
        value: pick(formats),
      },
      ...this.fields(0.5, {
        append_action: () => pick(appendActions),
        keep_empty_value: () => true,
      }),
    }));
  }

  mutation(): Json {
    const { chance, pick } = this.bound;
    if (chance(0.3)) return { remove: pick(['x-a', 'x-b', 'x-up', 'x-new']) };
    const [append] = this.headersToAdd();
    return append === undefined ? { remove: 'x-c' } : { append };
  }

  mutations(): Json {
    return this.fields(0.6, {
      request_mutations: () => this.some(3, () => this.mutation()),
      response_mutations: () => this.some(3, () => this.mutation()),
      query_parameter_mutations: () => this.some(2, () => this.queryMutation()),
    });
  }

  queryMutation(): Json {
    const { chance, pick } = this.bound;
    const key = pick(['q', 'r', 'x', 'new']);
    if (chance(0.3)) return { remove: key };
    return { append: { record: { key, value: pick(formats) }, action: pick(appendActions) } };
  }

  levelMutations(): Json {
    const { pick } = this.bound;
    return this.fields(0.25, {
      request_headers_to_add: () => this.headersToAdd(),
      request_headers_to_remove: () => [pick(['x-b', 'X-A', 'x-new'])],
      response_headers_to_add: () => this.headersToAdd(),
      response_headers_to_remove: () => [pick(['x-up', 'x-new', 'server'])],
    });
  }

  headerMatcher(): Json {
    const { chance, pick } = this.bound;
    const matcher: Json = { name: pick(['x-a', 'x-b', ':method', ':path', ':authority', 'content-type']) };
    const kind = this.random.below(3);
    if (kind === 0) matcher.present_match = chance(0.7);
    else if (kind === 1) matcher.range_match = { start: 0, end: 5 };
    else
      matcher.string_match = {
        [pick(['exact', 'prefix', 'suffix', 'contains'])]: pick(['1', 'abc', '/a', 'GET', 'a.com']),
      };
    if (chance(0.2)) matcher.invert_match = true;
    if (chance(0.2)) matcher.treat_missing_header_as_empty = true;
    return matcher;
  }

  // Routes ------------------------------------------------------------------------------------------------------------------

  routeConfiguration(): Json {
    const { chance } = this.bound;
    const domains = ['*', 'a.com', '*.a.com', 'b.com:8080', 'ten.*'].filter(
      (it) => it === '*' || chance(0.3),
    );
    return {
      name: this.name(),
      validate_clusters: false,
      ...this.levelMutations(),
      ...this.fields(0.3, {
        most_specific_header_mutations_wins: () => true,
        ignore_port_in_host_matching: () => true,
        internal_only_headers: () => ['x-b'],
        ignore_path_parameters_in_path_matching: () => true,
      }),
      ...this.fields(0.1, {
        vhost_header: () => 'x-a',
        request_mirror_policies: () => this.mirrors(),
        metadata: () => ({ filter_metadata: { m: { r: 'of the table' } } }),
      }),
      ...this.perFilter(),
      virtual_hosts: domains.map((domain) => this.virtualHost(domain)),
    };
  }

  virtualHost(domain: string): Json {
    const { chance, pick } = this.bound;
    return {
      name: this.name(),
      domains: [domain],
      ...this.levelMutations(),
      ...this.perFilter(),
      ...this.fields(0.2, {
        include_request_attempt_count: () => true,
        include_attempt_count_in_response: () => true,
        require_tls: () => pick(['NONE', 'EXTERNAL_ONLY']),
        retry_policy: () => this.retryPolicy(),
        metadata: () => ({ filter_metadata: { m: { n: 100_000 } } }),
        virtual_clusters: () => [{ name: 'vc', headers: [this.headerMatcher()] }],
        request_mirror_policies: () => this.mirrors(),
        include_is_timeout_retry_header: () => true,
        hedge_policy: () => ({ hedge_on_per_try_timeout: chance(0.5) }),
        request_body_buffer_limit: () => pick([4, 1000]),
      }),
      routes: Array.from({ length: 2 + this.random.below(7) }, () => this.route()),
    };
  }

  perFilter(): Json {
    const { chance } = this.bound;
    const configs: Json = {};
    if (chance(0.1))
      configs.mutation = {
        '@type': type('extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute'),
        mutations: this.mutations(),
      };
    if (chance(0.15))
      configs['envoy.filters.http.cors'] = {
        '@type': type('extensions.filters.http.cors.v3.CorsPolicy'),
        allow_origin_string_match: [{ suffix: 'a.com' }],
        ...this.fields(0.5, {
          allow_methods: () => 'GET, PUT',
          allow_headers: () => 'x-a',
          expose_headers: () => 'x-up',
          max_age: () => '60',
          allow_credentials: () => true,
          allow_private_network_access: () => true,
          forward_not_matching_preflights: () => chance(0.5),
        }),
      };
    if (chance(0.1))
      configs.buffer = { '@type': type('extensions.filters.http.buffer.v3.BufferPerRoute'), disabled: true };
    if (chance(0.1)) configs.rbac = { '@type': type('config.route.v3.FilterConfig'), disabled: true };
    if (chance(0.1))
      configs.csrf = {
        '@type': type('extensions.filters.http.csrf.v3.CsrfPolicy'),
        filter_enabled: { default_value: { numerator: this.pick([0, 100]) } },
        shadow_enabled: always,
        additional_origins: [{ contains: 'evil' }],
      };
    if (chance(0.1)) configs.fault = this.ownFault();
    if (chance(0.1))
      configs.limit = {
        '@type': type('extensions.filters.http.local_ratelimit.v3.LocalRateLimit'),
        stat_prefix: 'own',
        token_bucket: { max_tokens: 10_000, tokens_per_fill: 10_000, fill_interval: '3600s' },
        filter_enabled: always,
      };
    return Object.keys(configs).length > 0 ? { typed_per_filter_config: configs } : {};
  }

  /** For a route, sometimes within what turns the filter on or off. */
  ownFault(): Json {
    const { chance, pick } = this.bound;
    const own = {
      '@type': type('extensions.filters.http.fault.v3.HTTPFault'),
      abort: { http_status: pick([429, 503]), percentage: { numerator: pick([0, 100]) } },
    };
    const kind = this.random.below(4);
    if (kind === 0) return own;
    return {
      '@type': type('config.route.v3.FilterConfig'),
      ...(kind === 1 ? { disabled: true } : { config: kind === 2 ? own : {} }),
      ...(chance(0.2) && { is_optional: true }),
    };
  }

  route(): Json {
    const { chance, pick } = this.bound;
    const made: Json = {
      ...(chance(0.7) && { name: this.name() }),
      match: this.match(),
      ...this.levelMutations(),
      ...this.perFilter(),
    };
    if (chance(0.3)) made.metadata = { filter_metadata: { m: { a: pick(['x', 5, true]), l: [1, 'y'] } } };
    const kind = this.random.below(10);
    if (kind === 0)
      made.direct_response = {
        status: Number(pick([...codes, '301', '204'])),
        ...this.fields(0.6, { body: () => ({ inline_string: 'direct' }) }),
        ...(chance(0.3) && { body_format: this.format() }),
      };
    else if (kind < 3) made.redirect = this.redirect();
    else made.route = this.forward();
    return made;
  }

  path(): string {
    return `/${this.pick(['a', 'b', 'a/b', 'api', 'B', ''])}`;
  }

  match(): Json {
    const { chance, pick } = this.bound;
    const kind = this.random.below(8);
    const made: Json =
      kind < 4
        ? { prefix: chance(0.5) ? '/' : this.path() }
        : kind < 6
          ? { path: this.path() }
          : kind === 6
            ? { safe_regex: { regex: pick(['/a.*', '/[ab]/?.*', '/(?i)API/.*']) } }
            : { path_separated_prefix: `/${pick(['a', 'api'])}` };
    if (kind < 6 && chance(0.2)) made.case_sensitive = false;
    if (chance(0.2)) made.headers = [this.headerMatcher()];
    if (chance(0.1)) made.query_parameters = [{ name: 'q', present_match: chance(0.7) }];
    return made;
  }

  substitute(): Json {
    return {
      pattern: { regex: this.pick(['^/([^/]+)/(.*)$', 'a', '^/(\\w+)']) },
      substitution: this.pick(['/x', '/r/\\1', '\\0']),
    };
  }

  redirect(): Json {
    const { chance, pick } = this.bound;
    const made: Json = this.fields(0.3, {
      https_redirect: () => true,
      host_redirect: () => 'new.com:81',
      port_redirect: () => pick([8443, 80]),
      strip_query: () => true,
      response_code: () => pick(['FOUND', 'SEE_OTHER', 'TEMPORARY_REDIRECT', 'PERMANENT_REDIRECT']),
    });
    const kind = this.random.below(5);
    if (kind === 0) made.path_redirect = chance(0.5) ? '/p?z=1' : '/p';
    else if (kind === 1) made.prefix_rewrite = '/new';
    else if (kind === 2) made.regex_rewrite = this.substitute();
    else if (kind === 3) made.path_rewrite = `/f${pick(['%REQ(x-a)%', '%PATH(NQ)%', '', '?x=%REQ(x-b)%'])}`;
    return made;
  }

  forward(): Json {
    const { chance, pick } = this.bound;
    const made: Json = this.fields(0.15, {
      timeout: () => '5s',
      append_x_forwarded_host: () => true,
      retry_policy: () => this.retryPolicy(),
      internal_redirect_policy: () =>
        this.fields(0.5, {
          max_internal_redirects: () => 2,
          redirect_response_codes: () => [302, 303],
          allow_cross_scheme_redirect: () => true,
          response_headers_to_copy: () => ['x-up', 'x-missing'],
        }),
      request_mirror_policies: () => this.mirrors(),
      upgrade_configs: () => [{ upgrade_type: 'websocket', enabled: chance(0.5) }],
      cluster_not_found_response_code: () => pick(['NOT_FOUND', 'INTERNAL_SERVER_ERROR']),
      hedge_policy: () => ({ hedge_on_per_try_timeout: true }),
      priority: () => 'HIGH',
    });
    const kind = this.random.below(10);
    if (kind === 0) made.cluster_header = 'x-cluster';
    else if (kind === 1)
      made.weighted_clusters = {
        header_name: 'x-random',
        clusters: ['up', 'dead', 'up'].map((name, i) => ({
          name,
          weight: [50, 10, 40][i],
          ...this.levelMutations(),
          ...this.fields(0.2, { host_rewrite_literal: () => 'weighted.com' }),
        })),
      };
    else made.cluster = pick(['up', 'up', 'up', 'up', 'up', 'dead', 'empty', 'nowhere']);
    const rewrite = this.random.below(6);
    if (rewrite === 0) made.prefix_rewrite = pick(['/', '/new', '/ok']);
    else if (rewrite === 1) made.regex_rewrite = this.substitute();
    else if (rewrite === 2) made.path_rewrite = `/f${pick(['%REQ(x-a)%', '%PATH(NQ)%', '?x=%REQ(x-b)%'])}`;
    const host = this.random.below(9);
    if (host === 0) made.host_rewrite_literal = 'literal.com';
    else if (host === 3) made.host_rewrite = pick(['%REQ(x-a)%', 'x-%REQ(x-b?x-none)%.com', '%ROUTE_NAME%']);
    else if (host === 1) made.host_rewrite_header = 'x-a';
    else if (host === 2)
      made.host_rewrite_path_regex = { pattern: { regex: '^/([^/?]+).*$' }, substitution: 'h-\\1' };
    return made;
  }

  retryPolicy(): Json {
    const { pick } = this.bound;
    return {
      retry_on: pick([
        '5xx',
        'gateway-error,reset',
        'retriable-4xx',
        'retriable-status-codes',
        'connect-failure',
        'unavailable',
      ]),
      retry_back_off: { base_interval: '0.001s', max_interval: '0.002s' },
      ...this.fields(0.4, {
        num_retries: () => pick([0, 1, 2]),
        retriable_status_codes: () => [418, 200],
        retriable_request_headers: () => [this.headerMatcher()],
        retriable_headers: () => [this.headerMatcher()],
      }),
    };
  }

  mirrors(): Json[] {
    return [
      {
        cluster: 'mirror',
        ...this.fields(0.3, {
          disable_shadow_host_suffix_append: () => true,
          host_rewrite_literal: () => 'mirrored.com',
          request_headers_mutations: () => [this.mutation()],
        }),
      },
    ];
  }

  // Requests ----------------------------------------------------------------------------------------------------------------

  request(): string {
    const { chance, pick } = this.bound;
    const method = pick(['GET', 'GET', 'GET', 'POST', 'PUT', 'HEAD', 'OPTIONS', 'DELETE', 'BREW']);
    const base = pick([
      '/a',
      '/b',
      '/a/b',
      '/api',
      '/api/x',
      '/B',
      '/',
      '/c',
      '//a',
      '/a%2Fb',
      '/a/../b',
      '/./a',
      '/A',
    ]);
    const query = chance(0.4) ? pick(['?q=1', '?q=a%20b&r=2', '?q', '?x=%41', '#frag']) : '';
    // What the upstream does with it.
    const act = chance(0.5) ? '' : `${base.endsWith('/') ? '' : '/'}${pick(behaviours)}`;
    const lines = [
      `${method} ${chance(0.05) ? 'http://abs.example' : ''}${base}${act}${query} HTTP/1.${chance(0.04) ? 0 : 1}`,
    ];
    if (chance(0.97))
      lines.push(
        `${pick(['host', 'Host'])}: ${pick(['a.com', 'x.a.com', 'b.com:8080', 'A.COM', 'a.com.', 'a.com:80', 'other'])}`,
      );
    // Without it weighted clusters are chosen at random.
    lines.push(`x-random: ${pick(['5', '55', '95'])}`);
    for (const [name, values] of Object.entries(requestHeaders))
      if (chance(0.15)) lines.push(`${name}: ${pick(values)}`);
    let body = '';
    const kind = this.random.below(4);
    if (kind === 0 || (method === 'POST' && kind === 1)) {
      body = pick(['hello', 'x'.repeat(30), '']);
      lines.push(`content-length: ${body.length}`);
    } else if (kind === 1 && chance(0.4)) {
      lines.push('transfer-encoding: chunked');
      body = `5\r\nhello\r\n0\r\n${chance(0.3) ? 'x-trailer: 1\r\n' : ''}\r\n`;
    }
    return `${lines.join('\r\n')}\r\n\r\n${body}`;
  }
}

const behaviours = [
  'ok', 'chunked', 'trailers', 'empty', 'same', 'error', 'teapot', 'cookies', 'headers', 'found', 'away', 'grpc', 'reset',
  'websocket', 'then-close', 'no-answer-close', 'bad',
]; // biome-ignore format: a list

const requestHeaders: Readonly<Record<string, readonly string[]>> = {
  'x-a': ['1', 'abc', '/abc', 'a.com', ''],
  'x-b': ['1', 'abc', '10'],
  X_Under: ['1'],
  'x-cluster': ['up', 'dead', 'none'],
  'x-forwarded-for': ['10.0.0.1', '1.2.3.4, 10.0.0.2', '2001:db8::1', 'junk'],
  'x-forwarded-proto': ['https', 'http', 'ftp'],
  'x-forwarded-client-cert': ['By=a;URI=u'],
  'x-request-id': ['00000000-0000-4000-8000-00000000000a', 'mine'],
  'x-envoy-retry-on': ['5xx', 'reset'],
  'x-envoy-max-retries': ['2', 'x'],
  'x-envoy-upstream-rq-timeout-ms': ['3000', 'x'],
  'x-envoy-original-path': ['/was'],
  'x-envoy-internal': ['true'],
  origin: ['http://a.com', 'http://evil.org'],
  'access-control-request-method': ['PUT'],
  'access-control-request-private-network': ['true'],
  'content-type': ['application/grpc', 'text/plain'],
  te: ['trailers', 'gzip'],
  expect: ['100-continue'],
  connection: ['close', 'keep-alive', 'upgrade'],
  upgrade: ['websocket'],
  via: ['1.0 fred'],
  'user-agent': ['me'],
  cookie: ['a=b; c=d'],
};

export function randomConfiguration(seed: number, number: number, requests: number): RandomConfiguration {
  const generator = new Generator(seed * 7919 + number);
  const manager = generator.manager();
  return { manager, requests: Array.from({ length: requests }, () => generator.request()) };
}
