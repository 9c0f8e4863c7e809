// Access-log filters as plain data: from messages, and to what runs.
import type { ParseContext } from '#config/parse-context.ts';
import type {
  AccessLogFilter as AccessLogFilterMessage,
  ComparisonFilter as ComparisonFilterMessage,
} from '#schema/messages/envoy/config/accesslog/v3.ts';
import type { ExpressionFilter } from '#schema/messages/envoy/extensions/access_loggers/filters/cel/v3.ts';
import {
  type AccessLogFilter,
  AndFilter,
  CelFilter,
  Comparison,
  ComparisonFilter,
  GrpcStatusFilter,
  HeaderFilter,
  LogTypeFilter,
  MetadataFilter,
  NotHealthCheckFilter,
  OrFilter,
  ResponseFlagFilter,
  RuntimeFilter,
  TraceableFilter,
} from './access-log-filter.ts';
import { type CelData, celOptions, parseCel } from './cel/cel-config.ts';
import { CelProgram } from './cel/cel-program.ts';
import { AccessLogType, type FormatContext } from './formatter.ts';
import { compileHeaderMatcher, compileMetadataMatcher } from './matchers/compile.ts';
import type { HeaderMatcherData, MetadataMatcherData } from './matchers/matcher-config.ts';
import { parseHeaderMatcher, parseMetadataMatcher } from './matchers/parse.ts';
import { typeOf } from './registry.ts';
import { shortFlagNames } from './response-flag.ts';
import type { Runtime, RuntimeFraction } from './runtime.ts';
import { fraction } from './runtime-config.ts';
import { responseGrpcStatus } from './substitution/commands.ts';

export type AccessLogFilterData =
  | {
      readonly kind: 'status_code' | 'duration';
      readonly comparison: Comparison;
      readonly value: number;
      readonly runtimeKey: string;
    }
  | { readonly kind: 'not_health_check' | 'traceable' }
  | { readonly kind: 'runtime'; readonly fraction: RuntimeFraction; readonly isIndependent: boolean }
  | { readonly kind: 'and' | 'or'; readonly filters: readonly AccessLogFilterData[] }
  | { readonly kind: 'cel'; readonly cel: CelData }
  | { readonly kind: 'header'; readonly matcher: HeaderMatcherData }
  | { readonly kind: 'response_flag'; readonly mask: number }
  | { readonly kind: 'grpc_status' | 'log_type'; readonly bits: number; readonly excludes: boolean }
  | {
      readonly kind: 'metadata';
      readonly matcher: MetadataMatcherData | undefined;
      readonly ifMissing: boolean;
    };

const celFilter = 'envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter';

export function parseAccessLogFilter(message: AccessLogFilterMessage, at: ParseContext): AccessLogFilterData {
  const { and_filter: and, or_filter: or, runtime_filter: runtime, metadata_filter: metadata } = message;
  if (message.status_code_filter !== undefined)
    return comparison('status_code', message.status_code_filter.comparison);
  if (message.duration_filter !== undefined)
    return comparison('duration', message.duration_filter.comparison);
  if (message.not_health_check_filter !== undefined) return { kind: 'not_health_check' };
  if (message.traceable_filter !== undefined) return { kind: 'traceable' };
  if (runtime !== undefined)
    return {
      kind: 'runtime',
      fraction: fraction(runtime.percent_sampled, runtime.runtime_key),
      isIndependent: runtime.use_independent_randomness,
    };
  for (const [kind, list] of [
    ['and', and],
    ['or', or],
  ] as const) {
    if (list === undefined) continue;
    const here = at.field(`${kind}_filter`);
    return { kind, filters: list.filters.map((it, i) => parseAccessLogFilter(it, here.field('filters', i))) };
  }
  if (message.header_filter?.header !== undefined) {
    const here = at.field('header_filter').field('header');
    return { kind: 'header', matcher: parseHeaderMatcher(message.header_filter.header, here) };
  }
  if (message.response_flag_filter !== undefined)
    return { kind: 'response_flag', mask: flagMask(message.response_flag_filter.flags, at) };
  if (message.grpc_status_filter !== undefined) {
    const { statuses, exclude } = message.grpc_status_filter;
    return {
      kind: 'grpc_status',
      bits: bits(statuses.map((it) => grpcStatuses.indexOf(it))),
      excludes: exclude,
    };
  }
  if (message.log_type_filter !== undefined) {
    const { types, exclude } = message.log_type_filter;
    return { kind: 'log_type', bits: bits(types.map((it) => AccessLogType[it])), excludes: exclude };
  }
  if (metadata !== undefined) {
    const here = at.field('metadata_filter').field('matcher');
    return {
      kind: 'metadata',
      matcher: metadata.matcher === undefined ? undefined : parseMetadataMatcher(metadata.matcher, here),
      ifMissing: metadata.match_if_key_not_found ?? true,
    };
  }
  if (message.extension_filter === undefined) at.fail('needs one of the filter fields');
  else if (typeOf(message.extension_filter.typed_config) === celFilter) {
    const filter = message.extension_filter.typed_config as unknown as ExpressionFilter;
    const here = at.field('extension_filter').field('typed_config').field('expression');
    const cel = parseCel(filter.expression, celOptions(filter.cel_config), here, 'filter expression');
    if (cel !== undefined) return { kind: 'cel', cel };
  } else {
    const { name } = message.extension_filter;
    at.field('extension_filter').unsupported(`access log filter "${name}" is not supported by chancery`);
  }
  return { kind: 'and', filters: [] };
}

function comparison(
  kind: 'status_code' | 'duration',
  message: ComparisonFilterMessage | undefined,
): AccessLogFilterData {
  return {
    kind,
    comparison: Comparison[message?.op ?? 'EQ'],
    value: message?.value?.default_value ?? 0,
    runtimeKey: message?.value?.runtime_key ?? '',
  };
}

function flagMask(flags: readonly string[], at: ParseContext): number {
  let mask = 0;
  flags.forEach((flag, i) => {
    const bit = shortFlagNames.indexOf(flag);
    if (bit < 0) {
      const problem = `Proto constraint validation failed (ResponseFlagFilterValidationError.Flags[${i}]: value must be in list)`;
      at.field('response_flag_filter')
        .field('flags', i)
        .fail(`"${flag}" is no response flag`, {
          got: flag,
          expected: shortFlagNames.join(', '),
          envoy: problem,
        });
    } else mask |= 1 << bit;
  });
  return flags.length === 0 ? -1 : mask;
}

const grpcStatuses: readonly string[] = [
  'OK',
  'CANCELED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
];

function bits(numbers: readonly number[]): number {
  return numbers.reduce((mask, it) => mask | (1 << it), 0);
}

export function compileAccessLogFilter(data: AccessLogFilterData, runtime: Runtime): AccessLogFilter {
  const all = (list: readonly AccessLogFilterData[]) => list.map((it) => compileAccessLogFilter(it, runtime));
  switch (data.kind) {
    case 'status_code':
      return new ComparisonFilter(statusOf, data.comparison, data.value, data.runtimeKey, runtime);
    case 'duration':
      return new ComparisonFilter(durationOf, data.comparison, data.value, data.runtimeKey, runtime);
    case 'not_health_check':
      return new NotHealthCheckFilter();
    case 'traceable':
      return new TraceableFilter();
    case 'runtime':
      return new RuntimeFilter(data.fraction, data.isIndependent, runtime);
    case 'and':
      return new AndFilter(all(data.filters));
    case 'or':
      return new OrFilter(all(data.filters));
    case 'header':
      return new HeaderFilter(compileHeaderMatcher(data.matcher));
    case 'response_flag':
      return new ResponseFlagFilter(data.mask);
    case 'grpc_status':
      return new GrpcStatusFilter(data.bits, data.excludes, (context) => responseGrpcStatus(context) ?? 2);
    case 'metadata':
      return new MetadataFilter(
        data.matcher === undefined ? null : compileMetadataMatcher(data.matcher),
        data.ifMissing,
      );
    case 'cel':
      return new CelFilter(new CelProgram(data.cel));
    case 'log_type':
      return new LogTypeFilter(data.bits, data.excludes);
  }
}

const statusOf = (context: FormatContext) => context.info.responseCode;
const durationOf = ({ info }: FormatContext) =>
  Math.floor((info.endMs > 0 ? info.endMs : performance.now()) - info.startMs);
