// Filter state: what filters leave for each other, made from text by factories that are known by name, and the lists of the
// set_filter_state filters that say what to make.
import { isIP } from 'node:net';
import { addressText } from '#base/address-text.ts';
import type { ParseContext } from '#config/parse-context.ts';
import type { FilterStateValue } from '#schema/messages/envoy/extensions/filters/common/set_filter_state/v3.ts';
import { filterStateKeys } from './filter-state-keys.ts';
import { filterStatePlain, filterStateText } from './filter-state-text.ts';
import { compileFormatData, type FormatData, parseFormatString } from './format-config.ts';
import type { FormatContext, Formatter } from './formatter.ts';
import type { FilterStateObject } from './stream-info.ts';

export type FilterState = Map<string, FilterStateObject>;

type Factory = (text: string) => FilterStateObject | undefined;

const factories: Readonly<Record<string, Factory>> = {
  'envoy.string': asText,
  'envoy.hashable_string': (text) => ({ ...filterStateText(text), isHashable: true }),
  [filterStateKeys.tcpCluster]: filterStatePlain,
  [filterStateKeys.tcpIdleTimeout]: unsigned,
  [filterStateKeys.disableTunneling]: boolean,
  [filterStateKeys.serverName]: filterStatePlain,
  [filterStateKeys.applicationProtocols]: (text) => ({ ...filterStatePlain(text), isHidden: true }),
  [filterStateKeys.subjectAltNames]: filterStatePlain,
  'envoy.network.transport_socket.original_dst_address': address,
  'envoy.filters.listener.original_dst.local_ip': address,
  'envoy.filters.listener.original_dst.remote_ip': address,
  'envoy.upstream.dynamic_host': asText,
  'envoy.upstream.dynamic_port': port,
  'envoy.network.ip': (text) =>
    isIP(text) === 0 ? undefined : { ...filterStatePlain(addressText(text, 0)), isAddress: true },
  'envoy.ratelimit.hits_addend': hits,
  'envoy.bool': boolean,
};

/** One entry of a list as plain data. */
export interface FilterStateValueData {
  readonly key: string;
  readonly factory: string;
  readonly format: FormatData;
  readonly skipIfEmpty: boolean;
  /** Goes on to the connection to the host. How far from there makes no difference: that is another proxy's, or none. */
  readonly isShared: boolean;
}

/** `at` stands on the list. */
export function parseFilterStateValues(
  messages: readonly FilterStateValue[],
  at: ParseContext,
): FilterStateValueData[] {
  return messages.map((message, i) => {
    const here = at.index(i);
    const key = message.object_key ?? '';
    const factory = message.factory_key === '' ? key : message.factory_key;
    // Keys that Envoy does not know either were refused before.
    if (factories[factory] === undefined)
      here.field(message.factory_key === '' ? 'object_key' : 'factory_key').unsupported();
    return {
      key,
      factory,
      format: parseFormatString(message.format_string!, here.field('format_string')),
      skipIfEmpty: message.skip_if_empty,
      isShared: message.shared_with_upstream !== 'NONE',
    };
  });
}

/** A compiled list. */
export class FilterStateValues {
  readonly #data: readonly FilterStateValueData[];
  readonly #formatters: readonly Formatter[];

  constructor(data: readonly FilterStateValueData[]) {
    this.#data = data;
    this.#formatters = data.map((it) => compileFormatData(it.format));
  }

  get isEmpty(): boolean {
    return this.#data.length === 0;
  }

  /** What cannot be made of its text is left out. `read_only` makes no difference, in Envoy neither. */
  update(state: FilterState, context: FormatContext): void {
    for (let i = 0; i < this.#data.length; i++) {
      const { key, factory, skipIfEmpty, isShared } = this.#data[i]!;
      const text = this.#formatters[i]!.format(context);
      if (text === '' && skipIfEmpty) continue;
      const object = factories[factory]!(text);
      if (object !== undefined) state.set(key, isShared ? { ...object, isShared } : object);
    }
  }
}

function asText(text: string): FilterStateObject {
  return filterStateText(text);
}

/** 64 bits: a text as a message, too. */
function unsigned(text: string): FilterStateObject | undefined {
  return /^\d{1,20}$/.test(text) ? filterStateText(String(BigInt(text))) : undefined;
}

function hits(text: string): FilterStateObject | undefined {
  return numberUpTo(2 ** 32 - 1, text);
}

function port(text: string): FilterStateObject | undefined {
  return numberUpTo(65_535, text);
}

function numberUpTo(most: number, text: string): FilterStateObject | undefined {
  const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.POSITIVE_INFINITY;
  return value <= most ? filterStateText(String(value), value) : undefined;
}

function boolean(text: string): FilterStateObject | undefined {
  if (/^(true|t|yes|y|1)$/i.test(text)) return filterStateText('true', true);
  return /^(false|f|no|n|0)$/i.test(text) ? filterStateText('false', false) : undefined;
}

/** `ip:port` or `[ip6]:port`, with both parts as fields. */
function address(text: string): FilterStateObject | undefined {
  const parts = /^(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):(\d{1,5})$/.exec(text);
  const ip = parts?.[1] ?? parts?.[2] ?? '';
  const portNumber = Number(parts?.[3]);
  if (isIP(ip) === 0 || portNumber > 65535) return undefined;
  return { text, field: (name) => (name === 'ip' ? ip : name === 'port' ? portNumber : undefined) };
}
