// `rate_limits` of routes and virtual hosts: which descriptors a request has. Routes carry them compiled; the rate limit filters
// (global and local) ask them.
import { Cidr, CidrList } from '#base/cidr.ts';
import { latin1OfUtf8 } from '#base/utf8.ts';
import type { ParseContext } from '#config/parse-context.ts';
import { headerField } from '#http/header-field.ts';
import type {
  RateLimit,
  RateLimit_Action,
  RateLimit_Action_GenericKey,
  RateLimit_Action_RemoteAddressMatch,
} from '#schema/messages/envoy/config/route/v3.ts';
import { checkFormat } from './format-config.ts';
import type { Formatter } from './formatter.ts';
import { compileHeaderMatcher, compileStringMatcher } from './matchers/compile.ts';
import type { HeaderMatcherData, NamedStringMatcherData } from './matchers/matcher-config.ts';
import { parseHeaderMatchers, parseQueryParameterMatcher } from './matchers/parse.ts';
import {
  AddressMatchAction,
  type DescriptorAction,
  DestinationClusterAction,
  FormattedAction,
  HeaderAction,
  HeaderMatchAction,
  MetadataAction,
  QueryAction,
  QueryMatchAction,
  RateLimitPolicy,
  RemoteAddressAction,
  SourceClusterAction,
} from './rate-limit-descriptors.ts';
import type { Runtime } from './runtime.ts';
import { compileFormat, formatProblem } from './substitution/compile.ts';

export interface RateLimitData {
  readonly stage: number;
  readonly disableKey: string;
  readonly actions: readonly RateLimitActionData[];
  readonly limit: { readonly requestsPerUnit: number; readonly unit: string } | undefined;
  readonly limitMetadata: readonly string[] | undefined;
  readonly hits: HitsData | undefined;
  readonly applyOnStreamDone: boolean;
  /** Undefined: as the filter says. */
  readonly saysHeaders: boolean | undefined;
}

/** How many hits a request counts for: a number, or a format that gives one. */
export interface HitsData {
  readonly number: number;
  /** Empty: `number` counts. */
  readonly format: string;
  /** They are given back. */
  readonly isNegative: boolean;
}

export type RateLimitActionData =
  | { readonly kind: 'formatted'; readonly key: string; readonly value: string; readonly fallback: string }
  | { readonly kind: 'destination_cluster' | 'source_cluster' }
  | {
      readonly kind: 'remote_address_match';
      readonly key: string;
      readonly value: string;
      readonly fallback: string;
      readonly ranges: readonly string[];
      readonly invert: boolean;
    }
  | { readonly kind: 'header' | 'query'; readonly name: string; readonly key: string; readonly skip: boolean }
  | {
      readonly kind: 'remote_address';
      readonly v4Bits: number;
      readonly v6Bits: number;
      readonly masked: boolean;
    }
  | {
      readonly kind: 'header_match';
      readonly key: string;
      readonly value: string;
      readonly fallback: string;
      readonly expect: boolean;
      readonly headers: readonly HeaderMatcherData[];
    }
  | {
      readonly kind: 'query_match';
      readonly key: string;
      readonly value: string;
      readonly fallback: string;
      readonly expect: boolean;
      readonly parameters: readonly NamedStringMatcherData[];
    }
  | {
      readonly kind: 'metadata';
      readonly key: string;
      readonly path: readonly string[];
      readonly source: 'DYNAMIC' | 'ROUTE_ENTRY' | 'CLUSTER_ENTRY';
      readonly fallback: string;
      readonly skip: boolean;
    };

/** The rate limits in the field `name`; `at` stands on the message that has it. */
export function parseRateLimits(
  messages: readonly RateLimit[],
  at: ParseContext,
  name: string,
): RateLimitData[] {
  return messages.map((message, i) => {
    const here = at.field(name, i);
    const { limit, hits_addend: hits } = message;
    const key = limit?.dynamic_metadata?.metadata_key;
    return {
      stage: message.stage ?? 0,
      disableKey: message.disable_key,
      actions: message.actions.flatMap((it, j) => parseAction(it, here.field('actions', j))),
      limit:
        limit?.rate_limit === undefined
          ? undefined
          : { requestsPerUnit: limit.rate_limit.requests_per_unit, unit: limit.rate_limit.unit },
      limitMetadata: key === undefined ? undefined : [key.key, ...key.path.map((it) => it.key ?? '')],
      hits: hits && {
        number: Number(hits.number ?? 0),
        format: hits.format,
        isNegative: hits.is_negative_hits,
      },
      applyOnStreamDone: message.apply_on_stream_done,
      saysHeaders:
        message.x_ratelimit_option === 'UNSPECIFIED'
          ? undefined
          : message.x_ratelimit_option === 'DRAFT_VERSION_03',
    };
  });
}

function parseAction(message: RateLimit_Action, at: ParseContext): RateLimitActionData[] {
  const { request_headers: header, query_parameters: query, masked_remote_address: mask } = message;
  if (message.generic_key !== undefined) return [genericKey(message.generic_key)];
  if (message.destination_cluster !== undefined) return [{ kind: 'destination_cluster' }];
  if (message.source_cluster !== undefined) return [{ kind: 'source_cluster' }];
  if (message.remote_address_match !== undefined)
    return [addressMatch(message.remote_address_match, at.field('remote_address_match'))];
  if (header !== undefined)
    return [
      {
        kind: 'header',
        name: header.header_name.toLowerCase(),
        key: header.descriptor_key,
        skip: header.skip_if_absent,
      },
    ];
  if (query !== undefined)
    return [
      {
        kind: 'query',
        name: latin1OfUtf8(query.query_parameter_name),
        key: query.descriptor_key,
        skip: query.skip_if_absent,
      },
    ];
  if (message.remote_address !== undefined)
    return [{ kind: 'remote_address', v4Bits: 32, v6Bits: 128, masked: false }];
  if (mask !== undefined)
    return [
      {
        kind: 'remote_address',
        v4Bits: mask.v4_prefix_mask_len ?? 32,
        v6Bits: mask.v6_prefix_mask_len ?? 128,
        masked: true,
      },
    ];
  if (message.header_value_match !== undefined) {
    const here = at.field('header_value_match');
    const it = message.header_value_match;
    return [
      {
        kind: 'header_match',
        key: it.descriptor_key || 'header_match',
        value: it.descriptor_value,
        fallback: it.default_value,
        expect: it.expect_match ?? true,
        headers: parseHeaderMatchers(it.headers, here, 'headers'),
      },
    ];
  }
  if (message.query_parameter_value_match !== undefined) {
    const here = at.field('query_parameter_value_match');
    const it = message.query_parameter_value_match;
    return [
      {
        kind: 'query_match',
        key: it.descriptor_key || 'query_match',
        value: it.descriptor_value,
        fallback: it.default_value,
        expect: it.expect_match ?? true,
        parameters: it.query_parameters.map((parameter, i) =>
          parseQueryParameterMatcher(parameter, here.field('query_parameters', i)),
        ),
      },
    ];
  }
  if (message.metadata !== undefined || message.dynamic_metadata !== undefined)
    return metadataAction(message, at);
  if (message.extension !== undefined) at.field('extension').unsupported();
  return [];
}

function genericKey(message: RateLimit_Action_GenericKey): RateLimitActionData {
  return {
    kind: 'formatted',
    key: message.descriptor_key || 'generic_key',
    value: message.descriptor_value,
    fallback: message.default_value,
  };
}

function addressMatch(message: RateLimit_Action_RemoteAddressMatch, at: ParseContext): RateLimitActionData {
  checkFormat(message.descriptor_value, at.field('descriptor_value'));
  const here = at.field('address_matcher');
  const ranges = (message.address_matcher?.ranges ?? []).map((it, i) => {
    const text = `${it.address_prefix}/${it.prefix_len ?? 0}`;
    if (Cidr.parse(text) === undefined)
      here.field('ranges', i).fail(`"${text}" is no range of addresses`, { got: text });
    return text;
  });
  return {
    kind: 'remote_address_match',
    key: message.descriptor_key || 'remote_address_match',
    value: message.descriptor_value,
    fallback: message.default_value,
    ranges,
    invert: message.address_matcher?.invert_match ?? false,
  };
}

function metadataAction(message: RateLimit_Action, at: ParseContext): RateLimitActionData[] {
  const { metadata, dynamic_metadata: dynamic } = message;
  const key = (metadata ?? dynamic)?.metadata_key;
  if (metadata?.source === 'CLUSTER_LOCALITY_ENTRY') {
    at.field('metadata').field('source').unsupported();
    return [];
  }
  return [
    {
      kind: 'metadata',
      key: (metadata ?? dynamic)!.descriptor_key,
      path: key === undefined ? [] : [key.key, ...key.path.map((it) => it.key ?? '')],
      source: metadata?.source ?? 'DYNAMIC',
      fallback: (metadata ?? dynamic)!.default_value,
      skip: metadata?.skip_if_absent ?? false,
    },
  ];
}

/** Without it values of descriptors are texts, whatever stands in them; those of remote_address_match are always formats. */
const formatterFlag = 'envoy.reloadable_features.enable_formatter_for_ratelimit_action_descriptor_value';

/** `localCluster`: the value of `source_cluster`. */
export function compileRateLimit(
  data: RateLimitData,
  localCluster: string,
  runtime: Runtime,
): RateLimitPolicy {
  const formats = runtime.boolean(formatterFlag, false);
  return new RateLimitPolicy(
    data.stage,
    data.disableKey,
    data.actions.map((it) => compileAction(it, localCluster, formats)),
    data.limit,
    data.limitMetadata,
    data.hits && {
      number: data.hits.number,
      formatter: compileHits(data.hits.format),
      isNegative: data.hits.isNegative,
    },
    data.applyOnStreamDone,
    data.saysHeaders,
  );
}

/** Null for a number. Nobody asks policies of a route how many hits they are, nor whether their format is one. */
function compileHits(format: string): Formatter | null {
  return format === '' || formatProblem(format) !== undefined
    ? null
    : compileFormat(format, { omitEmptyValues: true });
}

function compileAction(data: RateLimitActionData, localCluster: string, formats: boolean): DescriptorAction {
  const format = (value: string) =>
    compileFormat(formats && formatProblem(value) === undefined ? value : value.replaceAll('%', '%%'), {
      omitEmptyValues: true,
    });
  switch (data.kind) {
    case 'formatted':
      return new FormattedAction(data.key, format(data.value), data.fallback);
    case 'destination_cluster':
      return new DestinationClusterAction();
    case 'source_cluster':
      return new SourceClusterAction(localCluster);
    case 'remote_address_match':
      return new AddressMatchAction(
        data.key,
        compileFormat(data.value, { omitEmptyValues: true }),
        data.fallback,
        new CidrList(data.ranges.flatMap((it) => Cidr.parse(it) ?? [])),
        data.invert,
      );
    case 'header':
      return new HeaderAction(data.key, data.name, headerField(data.name), data.skip);
    case 'query':
      return new QueryAction(data.key, data.name, data.skip);
    case 'remote_address':
      return new RemoteAddressAction(data.masked, data.v4Bits, data.v6Bits);
    case 'header_match':
      return new HeaderMatchAction(
        data.key,
        format(data.value),
        data.fallback,
        data.headers.map(compileHeaderMatcher),
        data.expect,
      );
    case 'query_match':
      return new QueryMatchAction(
        data.key,
        format(data.value),
        data.fallback,
        data.parameters.map(({ name, value }) => ({
          name,
          present: value.kind !== 'present' || value.present,
          value: value.kind === 'present' ? null : compileStringMatcher(value),
        })),
        data.expect,
      );
    case 'metadata':
      return new MetadataAction(data.key, data.path, data.source, data.fallback, data.skip);
  }
}
