// Which requests are logged: the filters of an `access_log` entry.
import type { CelProgram } from './cel/cel-program.ts';
import type { FormatContext } from './formatter.ts';
import type { HeaderMatcher } from './matchers/header-matcher.ts';
import type { MetadataMatcher } from './matchers/value-matcher.ts';
import type { Runtime, RuntimeFraction } from './runtime.ts';

export interface AccessLogFilter {
  passes(context: FormatContext): boolean;
}

export const Comparison = { EQ: 0, GE: 1, LE: 2, NE: 3 } as const;
export type Comparison = (typeof Comparison)[keyof typeof Comparison];

/** `status_code_filter` and `duration_filter`: a number against one that runtime may change. */
export class ComparisonFilter implements AccessLogFilter {
  readonly #read: (context: FormatContext) => number;
  readonly #comparison: Comparison;
  readonly #value: number;
  readonly #runtimeKey: string;
  readonly #runtime: Runtime;

  constructor(
    read: (context: FormatContext) => number,
    comparison: Comparison,
    value: number,
    runtimeKey: string,
    runtime: Runtime,
  ) {
    this.#read = read;
    this.#comparison = comparison;
    this.#value = value;
    this.#runtimeKey = runtimeKey;
    this.#runtime = runtime;
  }

  passes(context: FormatContext): boolean {
    const is = this.#read(context);
    const value = this.#runtime.integer(this.#runtimeKey, this.#value);
    switch (this.#comparison) {
      case Comparison.EQ:
        return is === value;
      case Comparison.GE:
        return is >= value;
      case Comparison.LE:
        return is <= value;
      case Comparison.NE:
        return is !== value;
    }
  }
}

export class NotHealthCheckFilter implements AccessLogFilter {
  passes(context: FormatContext): boolean {
    return !context.info.isHealthCheck;
  }
}

export class TraceableFilter implements AccessLogFilter {
  passes(context: FormatContext): boolean {
    return context.info.isTraced;
  }
}

/** A share of the requests: always the same ones by their request id, unless they are to be independent. */
export class RuntimeFilter implements AccessLogFilter {
  readonly #fraction: RuntimeFraction;
  readonly #isIndependent: boolean;
  readonly #runtime: Runtime;

  constructor(fraction: RuntimeFraction, isIndependent: boolean, runtime: Runtime) {
    this.#fraction = fraction;
    this.#isIndependent = isIndependent;
    this.#runtime = runtime;
  }

  passes(context: FormatContext): boolean {
    const id = this.#isIndependent ? Number.NaN : Number.parseInt(context.info.requestId.slice(0, 8), 16);
    return this.#runtime.enabled(this.#fraction, id >= 0 ? id : Math.floor(Math.random() * 0x7fffffff));
  }
}

export class AndFilter implements AccessLogFilter {
  readonly #filters: readonly AccessLogFilter[];

  constructor(filters: readonly AccessLogFilter[]) {
    this.#filters = filters;
  }

  passes(context: FormatContext): boolean {
    for (let i = 0; i < this.#filters.length; i++) if (!this.#filters[i]!.passes(context)) return false;
    return true;
  }
}

export class OrFilter implements AccessLogFilter {
  readonly #filters: readonly AccessLogFilter[];

  constructor(filters: readonly AccessLogFilter[]) {
    this.#filters = filters;
  }

  passes(context: FormatContext): boolean {
    for (let i = 0; i < this.#filters.length; i++) if (this.#filters[i]!.passes(context)) return true;
    return false;
  }
}

/** An expression that is true. */
export class CelFilter implements AccessLogFilter {
  readonly #program: CelProgram;

  constructor(program: CelProgram) {
    this.#program = program;
  }

  passes(context: FormatContext): boolean {
    return this.#program.holds(context);
  }
}

export class HeaderFilter implements AccessLogFilter {
  readonly #matcher: HeaderMatcher;

  constructor(matcher: HeaderMatcher) {
    this.#matcher = matcher;
  }

  passes(context: FormatContext): boolean {
    return context.requestHeaders !== undefined && this.#matcher.matches(context.requestHeaders);
  }
}

/** One of the flags; any flag at all when none is named. */
export class ResponseFlagFilter implements AccessLogFilter {
  readonly #mask: number;

  constructor(mask: number) {
    this.#mask = mask;
  }

  passes(context: FormatContext): boolean {
    return (context.info.flags & this.#mask) !== 0;
  }
}

export class GrpcStatusFilter implements AccessLogFilter {
  /** Bit per status. */
  readonly #statuses: number;
  readonly #excludes: boolean;
  readonly #read: (context: FormatContext) => number;

  constructor(statuses: number, excludes: boolean, read: (context: FormatContext) => number) {
    this.#statuses = statuses;
    this.#excludes = excludes;
    this.#read = read;
  }

  passes(context: FormatContext): boolean {
    const status = this.#read(context);
    return (status < 31 && (this.#statuses & (1 << status)) !== 0) !== this.#excludes;
  }
}

/** On dynamic metadata. */
export class MetadataFilter implements AccessLogFilter {
  /** Null: every value, and every absence, is the same. */
  readonly #matcher: MetadataMatcher | null;
  readonly #ifMissing: boolean;

  constructor(matcher: MetadataMatcher | null, ifMissing: boolean) {
    this.#matcher = matcher;
    this.#ifMissing = ifMissing;
  }

  passes(context: FormatContext): boolean {
    const metadata = context.info.dynamicMetadata;
    if (this.#matcher === null || !this.#matcher.has(metadata)) return this.#ifMissing;
    return this.#matcher.matches(metadata);
  }
}

export class LogTypeFilter implements AccessLogFilter {
  /** Bit per type. */
  readonly #types: number;
  readonly #excludes: boolean;

  constructor(types: number, excludes: boolean) {
    this.#types = types;
    this.#excludes = excludes;
  }

  passes(context: FormatContext): boolean {
    return ((this.#types & (1 << context.logType)) !== 0) !== this.#excludes;
  }
}
