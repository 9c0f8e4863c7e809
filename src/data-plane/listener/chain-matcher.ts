// `filter_chain_matcher`: a matcher tree over what is known of a connection, which leads to the names of filter chains. In the place of
// the chains' own `filter_chain_match`.
import type { ParseContext } from '#config/parse-context.ts';
import type { MatcherTree, MatchInput } from '#extension/matchers/matcher-tree.ts';
import { compileMatcherTree } from '#extension/matchers/matcher-tree-compile.ts';
import type { MatcherData } from '#extension/matchers/matcher-tree-config.ts';
import { type MatcherTreeReader, parseMatcherTree } from '#extension/matchers/matcher-tree-parse.ts';
import { readConnection } from '#extension/matchers/stream-input.ts';
import type { ConnectionInputKind } from '#extension/matchers/stream-input-config.ts';
import type { Runtime } from '#extension/runtime.ts';
import type { FilterStateInput } from '#schema/messages/envoy/extensions/matching/common_inputs/network/v3.ts';
import type { Matcher } from '#schema/messages/xds/type/matcher/v3.ts';
import { type ConnectionFacts, isLocal } from './filter-chain-match.ts';

/** The name of an input, or the key of an object of the filter state. */
export type ChainInput = { readonly kind: keyof typeof inputs } | { readonly filterState: string };
export type ChainMatcherData = MatcherData<ChainInput, string>;

/** Undefined: the connection has none. */
const inputs = {
  DestinationIPInput: of('destination_ip'),
  DestinationPortInput: of('destination_port'),
  SourceIPInput: of('source_ip'),
  SourcePortInput: of('source_port'),
  DirectSourceIPInput: of('direct_source_ip'),
  SourceTypeInput: ({ info }: ConnectionFacts) => (isLocal(info) ? 'local' : undefined),
  ServerNameInput: of('server_name'),
  TransportProtocolInput: ({ info }: ConnectionFacts) => info.transportProtocol || undefined,
  ApplicationProtocolInput: ({ applicationProtocols }: ConnectionFacts) =>
    applicationProtocols.map((it) => `'${it}'`).join(',') || undefined,
  /** Of listeners in another network namespace, which there are none of. */
  NetworkNamespaceInput: () => undefined,
} satisfies Record<string, (facts: ConnectionFacts) => string | undefined>;

function of(kind: ConnectionInputKind): (facts: ConnectionFacts) => string | undefined {
  return ({ info }) => readConnection(kind, info) || undefined;
}

const inputPrefix = 'envoy.extensions.matching.common_inputs.network.v3.';
const nameType = 'google.protobuf.StringValue';

const reader: MatcherTreeReader<ChainInput, string> = {
  input(type, config, at) {
    const name = type.startsWith(inputPrefix) ? type.slice(inputPrefix.length) : '';
    if (name === 'FilterStateInput') return { filterState: (config as FilterStateInput).key };
    if (name in inputs) return { kind: name as keyof typeof inputs };
    at.unsupported(`matching input ${type} is not supported by chancery`);
    return { kind: 'NetworkNamespaceInput' };
  },
  action(type, config, at) {
    if (type === nameType) return (config as { readonly value: string }).value;
    at.unsupported(`action ${type} is not supported here`, { expected: nameType });
    return undefined;
  },
};

export function parseChainMatcher(message: Matcher, at: ParseContext): ChainMatcherData {
  return parseMatcherTree(message, at, reader);
}

export class ChainMatcher<Chain> {
  readonly #tree: MatcherTree<ConnectionFacts, string>;
  readonly #chains: ReadonlyMap<string, Chain>;
  readonly #otherwise: Chain | undefined;

  /** `otherwise`: when the tree leads nowhere. A name that no chain has leads to no chain. */
  constructor(
    data: ChainMatcherData,
    chains: ReadonlyMap<string, Chain>,
    otherwise: Chain | undefined,
    runtime: Runtime,
  ) {
    this.#tree = compileMatcherTree(data, { runtime, input: readerOf, action: (name: string) => name });
    this.#chains = chains;
    this.#otherwise = otherwise;
  }

  match(facts: ConnectionFacts): Chain | undefined {
    const name = this.#tree.find(facts);
    return name === undefined ? this.#otherwise : this.#chains.get(name);
  }
}

function readerOf(input: ChainInput): MatchInput<ConnectionFacts> {
  if ('kind' in input) return { read: inputs[input.kind] };
  return { read: ({ info }) => info.filterState?.get(input.filterState)?.text };
}
