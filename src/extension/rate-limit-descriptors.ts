// The descriptors of a request for rate limiting, made by the actions of a route's `rate_limits`.
import { type HeaderField, joinedValue } from '#http/header-field.ts';
import { queryParameter } from '#http/request-parameters.ts';
import type { FormatContext, Formatter } from './formatter.ts';
import { allHeadersMatch, type HeaderMatcher } from './matchers/header-matcher.ts';
import type { StringMatcher } from './matchers/string-matcher.ts';
import { valueAt } from './matchers/value-matcher.ts';

/** Key and value in turn: [key, value, key, value, ...]. */
export type Descriptor = string[];

export const ActionResult = {
  /** An entry was added, or the action has nothing to say and lets the others go on. */
  Continue: 0,
  /** This request has no such descriptor at all. */
  None: 1,
} as const;
export type ActionResult = (typeof ActionResult)[keyof typeof ActionResult];

export interface DescriptorAction {
  append(to: Descriptor, context: FormatContext): ActionResult;
}

export class RateLimitPolicy {
  readonly stage: number;
  /** Runtime key `ratelimit.<key>.http_filter_enabled` of this policy; empty for none. */
  readonly disableKey: string;
  readonly limit: { readonly requestsPerUnit: number; readonly unit: string } | undefined;
  /** Where in dynamic metadata the limit stands. */
  readonly limitMetadata: readonly string[] | undefined;
  /** -1: one. */
  readonly hits: number;
  readonly applyOnStreamDone: boolean;
  readonly #actions: readonly DescriptorAction[];

  constructor(
    stage: number,
    disableKey: string,
    actions: readonly DescriptorAction[],
    limit: { readonly requestsPerUnit: number; readonly unit: string } | undefined,
    limitMetadata: readonly string[] | undefined,
    hits: number,
    applyOnStreamDone: boolean,
  ) {
    this.stage = stage;
    this.disableKey = disableKey;
    this.limit = limit;
    this.limitMetadata = limitMetadata;
    this.hits = hits;
    this.applyOnStreamDone = applyOnStreamDone;
    this.#actions = actions;
  }

  /** Undefined: an action found nothing to say, so the request is not counted under this policy. */
  descriptor(context: FormatContext): Descriptor | undefined {
    const descriptor: Descriptor = [];
    for (let i = 0; i < this.#actions.length; i++)
      if (this.#actions[i]!.append(descriptor, context) === ActionResult.None) return undefined;
    return descriptor.length === 0 ? undefined : descriptor;
  }
}

/** `generic_key`. */
export class FormattedAction implements DescriptorAction {
  readonly #key: string;
  readonly #value: Formatter;
  readonly #fallback: string;

  constructor(key: string, value: Formatter, fallback: string) {
    this.#key = key;
    this.#value = value;
    this.#fallback = fallback;
  }

  append(to: Descriptor, context: FormatContext): ActionResult {
    const value = this.#value.format(context) || this.#fallback;
    if (value === '') return ActionResult.None;
    to.push(this.#key, value);
    return ActionResult.Continue;
  }
}

export class DestinationClusterAction implements DescriptorAction {
  append(to: Descriptor, context: FormatContext): ActionResult {
    to.push('destination_cluster', context.info.upstream.clusterName);
    return ActionResult.Continue;
  }
}

export class HeaderAction implements DescriptorAction {
  readonly #key: string;
  readonly #name: string;
  readonly #field: HeaderField;
  readonly #missing: ActionResult;

  constructor(key: string, name: string, field: HeaderField, skipIfAbsent: boolean) {
    this.#key = key;
    this.#name = name;
    this.#field = field;
    this.#missing = skipIfAbsent ? ActionResult.Continue : ActionResult.None;
  }

  append(to: Descriptor, context: FormatContext): ActionResult {
    const headers = context.requestHeaders;
    const value = headers === undefined ? undefined : joinedValue(headers, this.#field, this.#name);
    if (value === undefined) return this.#missing;
    to.push(this.#key, value);
    return ActionResult.Continue;
  }
}

export class QueryAction implements DescriptorAction {
  readonly #key: string;
  readonly #name: string;
  readonly #missing: ActionResult;

  constructor(key: string, name: string, skipIfAbsent: boolean) {
    this.#key = key;
    this.#name = name;
    this.#missing = skipIfAbsent ? ActionResult.Continue : ActionResult.None;
  }

  append(to: Descriptor, context: FormatContext): ActionResult {
    const value = queryParameter(context.requestHeaders?.path ?? '', this.#name);
    if (value === undefined) return this.#missing;
    to.push(this.#key, value);
    return ActionResult.Continue;
  }
}

/** `remote_address` and `masked_remote_address`. */
export class RemoteAddressAction implements DescriptorAction {
  readonly #isMasked: boolean;
  readonly #v4Bits: number;
  readonly #v6Bits: number;

  constructor(isMasked: boolean, v4Bits: number, v6Bits: number) {
    this.#isMasked = isMasked;
    this.#v4Bits = v4Bits;
    this.#v6Bits = v6Bits;
  }

  append(to: Descriptor, context: FormatContext): ActionResult {
    const address = hostOf(context.info.remoteAddress);
    if (address === '') return ActionResult.None;
    if (!this.#isMasked) to.push('remote_address', address);
    else {
      const bits = address.includes(':') ? this.#v6Bits : this.#v4Bits;
      to.push('masked_remote_address', maskedAddress(address, bits));
    }
    return ActionResult.Continue;
  }
}

function hostOf(address: string): string {
  if (address.startsWith('[')) return address.slice(1, address.lastIndexOf(']'));
  const colon = address.lastIndexOf(':');
  return colon < 0 || address.startsWith('/') ? '' : address.slice(0, colon);
}

function maskedAddress(address: string, bits: number): string {
  if (address.includes(':')) {
    const groups = groupsOf(address);
    for (let i = 0; i < 8; i++) {
      const kept = Math.min(16, Math.max(0, bits - i * 16));
      groups[i] = groups[i]! & (kept === 0 ? 0 : (0xffff << (16 - kept)) & 0xffff);
    }
    return `${compressed(groups)}/${bits}`;
  }
  const parts = address.split('.');
  for (let i = 0; i < 4; i++) {
    const kept = Math.min(8, Math.max(0, bits - i * 8));
    parts[i] = String(Number(parts[i]) & (kept === 0 ? 0 : (0xff << (8 - kept)) & 0xff));
  }
  return `${parts.join('.')}/${bits}`;
}

function groupsOf(address: string): number[] {
  const [head = '', tail] = address.split('::');
  const parse = (part: string) => (part === '' ? [] : part.split(':').map((it) => Number.parseInt(it, 16)));
  const before = parse(head);
  const after = tail === undefined ? [] : parse(tail);
  return [...before, ...Array<number>(8 - before.length - after.length).fill(0), ...after];
}

/** RFC 5952: the longest run of zeros (two or more, the first of equals) becomes `::`. */
function compressed(groups: readonly number[]): string {
  let start = -1;
  let length = 1;
  for (let i = 0; i < 8; i++) {
    let end = i;
    while (end < 8 && groups[end] === 0) end++;
    if (end - i > length) {
      start = i;
      length = end - i;
    }
  }
  const text = (from: number, to: number) =>
    groups
      .slice(from, to)
      .map((it) => it.toString(16))
      .join(':');
  return start < 0 ? text(0, 8) : `${text(0, start)}::${text(start + length, 8)}`;
}

export class HeaderMatchAction implements DescriptorAction {
  readonly #entry: FormattedAction;
  readonly #headers: readonly HeaderMatcher[];
  readonly #expected: boolean;

  constructor(
    key: string,
    value: Formatter,
    fallback: string,
    headers: readonly HeaderMatcher[],
    expected: boolean,
  ) {
    this.#entry = new FormattedAction(key, value, fallback);
    this.#headers = headers;
    this.#expected = expected;
  }

  append(to: Descriptor, context: FormatContext): ActionResult {
    const headers = context.requestHeaders;
    if (headers === undefined || allHeadersMatch(this.#headers, headers) !== this.#expected)
      return ActionResult.None;
    return this.#entry.append(to, context);
  }
}

export interface QueryCondition {
  readonly name: string;
  /** Whether the parameter has to be there, when `value` is null. */
  readonly present: boolean;
  readonly value: StringMatcher | null;
}

export class QueryMatchAction implements DescriptorAction {
  readonly #entry: FormattedAction;
  readonly #parameters: readonly QueryCondition[];
  readonly #expected: boolean;

  constructor(
    key: string,
    value: Formatter,
    fallback: string,
    parameters: readonly QueryCondition[],
    expected: boolean,
  ) {
    this.#entry = new FormattedAction(key, value, fallback);
    this.#parameters = parameters;
    this.#expected = expected;
  }

  append(to: Descriptor, context: FormatContext): ActionResult {
    if (this.#match(context.requestHeaders?.path ?? '') !== this.#expected) return ActionResult.None;
    return this.#entry.append(to, context);
  }

  #match(path: string): boolean {
    for (let i = 0; i < this.#parameters.length; i++) {
      const { name, present, value } = this.#parameters[i]!;
      const found = queryParameter(path, name);
      if (value === null ? (found !== undefined) !== present : found === undefined || !value.matches(found))
        return false;
    }
    return true;
  }
}

export class MetadataAction implements DescriptorAction {
  readonly #key: string;
  readonly #path: readonly string[];
  readonly #source: 'DYNAMIC' | 'ROUTE_ENTRY' | 'CLUSTER_ENTRY';
  readonly #fallback: string;
  readonly #missing: ActionResult;

  constructor(
    key: string,
    path: readonly string[],
    source: 'DYNAMIC' | 'ROUTE_ENTRY' | 'CLUSTER_ENTRY',
    fallback: string,
    skipIfAbsent: boolean,
  ) {
    this.#key = key;
    this.#path = path;
    this.#source = source;
    this.#fallback = fallback;
    this.#missing = skipIfAbsent ? ActionResult.Continue : ActionResult.None;
  }

  append(to: Descriptor, context: FormatContext): ActionResult {
    const { info } = context;
    const metadata =
      this.#source === 'DYNAMIC'
        ? info.dynamicMetadata
        : this.#source === 'ROUTE_ENTRY'
          ? info.routeMetadata
          : info.clusterMetadata;
    const found = valueAt(metadata, this.#path);
    const value = typeof found === 'string' && found !== '' ? found : this.#fallback;
    if (value === '') return this.#missing;
    to.push(this.#key, value);
    return ActionResult.Continue;
  }
}
