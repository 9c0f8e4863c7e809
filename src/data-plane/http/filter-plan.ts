// The filters of one connection manager, prepared: which callbacks each has, and the instances for a request. The router is not
// among them; it ends the plan and is called by the stream itself. Step 5 of a request's way.
import type { HttpFilter, HttpFilterFactory } from '#extension/http-filter.ts';
import type { RouteEntry } from './route-entry.ts';

/** What a filter implements, one bit per callback. */
export const Has = {
  DecodeHeaders: 1,
  DecodeData: 2,
  DecodeTrailers: 4,
  DecodeComplete: 8,
  Encode1xx: 16,
  EncodeHeaders: 32,
  EncodeData: 64,
  EncodeTrailers: 128,
  EncodeComplete: 256,
  OnLocalReply: 512,
  OnStreamComplete: 1024,
  OnDestroy: 2048,
} as const;

export class FilterPlan {
  readonly count: number;
  readonly names: readonly string[];
  /** Bits of `Has`, per filter. */
  readonly has: readonly number[];
  /** All of them together: a callback that nobody has is skipped without a loop. */
  readonly hasAny: number;
  /** Filters off by default (`disabled: true`): routes switch them on. */
  readonly disabled: readonly boolean[];
  readonly hasDisabled: boolean;
  readonly #factories: readonly HttpFilterFactory[];
  /** Set when no filter keeps state per request: one array serves all. */
  readonly #shared: readonly HttpFilter[] | undefined;

  constructor(
    names: readonly string[],
    factories: readonly HttpFilterFactory[],
    disabled: readonly boolean[],
  ) {
    this.names = names;
    this.count = factories.length;
    this.#factories = factories;
    this.disabled = disabled;
    this.hasDisabled = disabled.includes(true);
    const samples = factories.map((make) => make());
    this.has = samples.map(callbacksOf);
    this.hasAny = this.has.reduce((all, bits) => all | bits, 0);
    this.#shared = samples.every((sample, i) => sample === factories[i]!()) ? samples : undefined;
  }

  /** The filters of one request, in the order of the configuration. */
  instances(): readonly HttpFilter[] {
    if (this.#shared !== undefined) return this.#shared;
    const factories = this.#factories;
    const filters: HttpFilter[] = [];
    for (let i = 0; i < factories.length; i++) filters.push(factories[i]!());
    return filters;
  }
}

/** One bit for each filter that is switched off: by the most specific level of the route that says so, else by itself. */
export function disabledFilters(
  { names, disabled }: Pick<FilterPlan, 'names' | 'disabled'>,
  route: RouteEntry | undefined,
): number {
  let bits = 0;
  for (let i = 0; i < names.length; i++)
    if (route?.perFilterConfigs?.get(names[i]!)?.disabled ?? disabled[i]!) bits |= 1 << i;
  return bits;
}

function callbacksOf(filter: HttpFilter): number {
  let bits = 0;
  if (filter.decodeHeaders !== undefined) bits |= Has.DecodeHeaders;
  if (filter.decodeData !== undefined) bits |= Has.DecodeData;
  if (filter.decodeTrailers !== undefined) bits |= Has.DecodeTrailers;
  if (filter.decodeComplete !== undefined) bits |= Has.DecodeComplete;
  if (filter.encode1xx !== undefined) bits |= Has.Encode1xx;
  if (filter.encodeHeaders !== undefined) bits |= Has.EncodeHeaders;
  if (filter.encodeData !== undefined) bits |= Has.EncodeData;
  if (filter.encodeTrailers !== undefined) bits |= Has.EncodeTrailers;
  if (filter.encodeComplete !== undefined) bits |= Has.EncodeComplete;
  if (filter.onLocalReply !== undefined) bits |= Has.OnLocalReply;
  if (filter.onStreamComplete !== undefined) bits |= Has.OnStreamComplete;
  if (filter.onDestroy !== undefined) bits |= Has.OnDestroy;
  return bits;
}
