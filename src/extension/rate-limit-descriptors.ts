// The descriptors of a request for rate limiting, made by the actions of a route's `rate_limits`.
import { type CidrList, ipOfAddress, ipVersion, maskedIp } from '#base/cidr.ts';
import { firstValue, type HeaderField } from '#http/header-field.ts';
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

export interface Hits {
  readonly number: number;
  /** Null: `number` counts. */
  readonly formatter: Formatter | null;
  readonly isNegative: boolean;
}

export class RateLimitPolicy {
  readonly stage: number;
  /** Runtime key `ratelimit.<key>.http_filter_enabled` of this policy; empty for none. */
  readonly disableKey: string;
  readonly limit: { readonly requestsPerUnit: number; readonly unit: string } | undefined;
  /** Where in dynamic metadata the limit stands. */
  readonly limitMetadata: readonly string[] | undefined;
  /** Undefined: one. */
  readonly hits: Hits | undefined;
  readonly applyOnStreamDone: boolean;
  /** Whether a response says `x-ratelimit-*` of this descriptor; undefined: as the filter says. */
  readonly saysHeaders: boolean | undefined;
  readonly #actions: readonly DescriptorAction[];

  constructor(
    stage: number,
    disableKey: string,
    actions: readonly DescriptorAction[],
    limit: { readonly requestsPerUnit: number; readonly unit: string } | undefined,
    limitMetadata: readonly string[] | undefined,
    hits: Hits | undefined,
    applyOnStreamDone: boolean,
    saysHeaders: boolean | undefined,
  ) {
    this.stage = stage;
    this.disableKey = disableKey;
    this.limit = limit;
    this.limitMetadata = limitMetadata;
    this.hits = hits;
    this.applyOnStreamDone = applyOnStreamDone;
    this.saysHeaders = saysHeaders;
    this.#actions = actions;
  }

  /** Undefined: an action found nothing to say, so the request is not counted under this policy. */
  descriptor(context: FormatContext): Descriptor | undefined {
    const descriptor: Descriptor = [];
    for (let i = 0; i < this.#actions.length; i++)
      if (this.#actions[i]!.append(descriptor, context) === ActionResult.None) return undefined;
    return descriptor.length === 0 ? undefined : descriptor;
  }

  /** How many hits the request counts for; negative when the format gives no number. */
  hitCount(context: FormatContext): number {
    if (this.hits === undefined) return 1;
    const { formatter, number } = this.hits;
    if (formatter === null) return number;
    const text = formatter.format(context);
    const found = text === '' ? Number.NaN : Number(text);
    return found >= 0 && found <= maxHits ? Math.floor(found) : -1;
  }
}

const maxHits = 1_000_000_000;

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

export class SourceClusterAction implements DescriptorAction {
  readonly #cluster: string;

  constructor(cluster: string) {
    this.#cluster = cluster;
  }

  append(to: Descriptor): ActionResult {
    to.push('source_cluster', this.#cluster);
    return ActionResult.Continue;
  }
}

export class AddressMatchAction implements DescriptorAction {
  readonly #entry: FormattedAction;
  readonly #ranges: CidrList;
  readonly #inverted: boolean;

  constructor(key: string, value: Formatter, fallback: string, ranges: CidrList, inverted: boolean) {
    this.#entry = new FormattedAction(key, value, fallback);
    this.#ranges = ranges;
    this.#inverted = inverted;
  }

  append(to: Descriptor, context: FormatContext): ActionResult {
    const isIn = this.#ranges.contains(ipOfAddress(context.info.remoteAddress));
    return isIn === this.#inverted ? ActionResult.None : this.#entry.append(to, context);
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
    const value = headers === undefined ? undefined : firstValue(headers, this.#field, this.#name);
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
    const address = ipOfAddress(context.info.remoteAddress);
    const version = ipVersion(address);
    if (version === 0) return ActionResult.None;
    if (!this.#isMasked) to.push('remote_address', address);
    else {
      const bits = version === 6 ? this.#v6Bits : this.#v4Bits;
      to.push('masked_remote_address', `${maskedIp(address, bits)}/${bits}`);
    }
    return ActionResult.Continue;
  }
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
