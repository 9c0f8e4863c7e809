// Which filter chain a connection gets. Step 2 of a request's way. Criteria count in Envoy's order, and there is no way back:
// among the chains that are left, the most specific value of a criterion that fits is taken, and only chains with that very value
// are looked at further.
//
//   destination port - destination range - server name - transport protocol - application protocol -
//   direct source range - source type - source range - source port
import { Cidr, ipOfAddress, portOfAddress } from '#base/cidr.ts';
import type { ConnectionInfo } from '#extension/stream-info.ts';
import type { FilterChainMatchConfig } from './listener-config.ts';

/** What is known of a connection before its chain is. */
export interface ConnectionFacts {
  readonly info: ConnectionInfo;
  /** As the TLS inspector saw them, in the client's order. */
  readonly applicationProtocols: readonly string[];
}

export interface Matchable {
  readonly config: { readonly match: FilterChainMatchConfig | undefined };
}

type Node<Chain> = Level<Chain> | { readonly chain: Chain };

interface Level<Chain> {
  readonly criterion: Criterion;
  readonly children: ReadonlyMap<string, Node<Chain>>;
  /** Of a criterion over addresses: the keys as ranges, longest first. */
  readonly ranges: readonly { readonly cidr: Cidr; readonly key: string }[];
}

interface Criterion {
  /** The values a chain asks for; none: any, which is the key ''. */
  keys(match: FilterChainMatchConfig): readonly string[];
  /** The key of the most specific value that fits; undefined: none does, and '' is not offered. */
  choose(level: Level<unknown>, facts: ConnectionFacts): string | undefined;
}

export class FilterChainMatch<Chain extends Matchable> {
  readonly #root: Node<Chain> | undefined;
  readonly #otherwise: Chain | undefined;

  /** `otherwise`: `default_filter_chain`. */
  constructor(chains: readonly Chain[], otherwise?: Chain | undefined) {
    this.#root = build(chains, 0);
    this.#otherwise = otherwise;
  }

  /** Undefined: no chain matches. */
  match(facts: ConnectionFacts): Chain | undefined {
    let node = this.#root;
    while (node !== undefined && 'criterion' in node) {
      const key = node.criterion.choose(node, facts);
      node = key === undefined ? undefined : node.children.get(key);
    }
    return node === undefined ? this.#otherwise : node.chain;
  }
}

const nothing: FilterChainMatchConfig = {
  destinationPort: 0,
  prefixRanges: [],
  directSourcePrefixRanges: [],
  sourceType: 'ANY',
  sourcePrefixRanges: [],
  sourcePorts: [],
  serverNames: [],
  transportProtocol: '',
  applicationProtocols: [],
};

function build<Chain extends Matchable>(chains: readonly Chain[], at: number): Node<Chain> | undefined {
  if (chains.length === 0) return undefined;
  const criterion = criteria[at];
  // Chains with the same criteria throughout are refused when they are parsed.
  if (criterion === undefined) return { chain: chains[0]! };
  const groups = new Map<string, Chain[]>();
  for (const chain of chains) {
    const keys = criterion.keys(chain.config.match ?? nothing);
    for (const key of keys.length === 0 ? [''] : keys) {
      const group = groups.get(key);
      if (group === undefined) groups.set(key, [chain]);
      else group.push(chain);
    }
  }
  // A criterion that nobody asks for is not worth a level.
  if (groups.size === 1 && groups.has('')) return build(chains, at + 1);
  const children = new Map([...groups].map(([key, group]) => [key, build(group, at + 1)!]));
  const ranges = [...groups.keys()].flatMap((key) => {
    const cidr = key.includes('/') ? Cidr.parse(key) : undefined;
    return cidr === undefined ? [] : [{ cidr, key }];
  });
  ranges.sort((a, b) => b.cidr.prefixLength - a.cidr.prefixLength);
  return { criterion, children, ranges };
}

function orAny(level: Level<unknown>, key: string): string | undefined {
  if (level.children.has(key)) return key;
  return level.children.has('') ? '' : undefined;
}

function inRange(level: Level<unknown>, address: string): string | undefined {
  const ip = ipOfAddress(address);
  for (const { cidr, key } of level.ranges) if (cidr.contains(ip)) return key;
  return level.children.has('') ? '' : undefined;
}

const criteria: readonly Criterion[] = [
  {
    keys: (match) => (match.destinationPort === 0 ? [] : [String(match.destinationPort)]),
    choose: (level, { info }) => orAny(level, String(portOfAddress(info.localAddress))),
  },
  {
    keys: (match) => match.prefixRanges,
    choose: (level, { info }) => inRange(level, info.localAddress),
  },
  {
    keys: (match) =>
      match.serverNames.map((name) => (name.startsWith('*.') ? name.slice(1) : name).toLowerCase()),
    choose(level, { info }) {
      const name = info.requestedServerName;
      if (name !== '') {
        if (level.children.has(name)) return name;
        for (let dot = name.indexOf('.'); dot >= 0; dot = name.indexOf('.', dot + 1)) {
          const suffix = name.slice(dot);
          if (level.children.has(suffix)) return suffix;
        }
      }
      return level.children.has('') ? '' : undefined;
    },
  },
  {
    keys: (match) => (match.transportProtocol === '' ? [] : [match.transportProtocol]),
    choose: (level, { info }) => orAny(level, info.transportProtocol),
  },
  {
    keys: (match) => match.applicationProtocols,
    choose(level, { applicationProtocols }) {
      for (const protocol of applicationProtocols) if (level.children.has(protocol)) return protocol;
      return level.children.has('') ? '' : undefined;
    },
  },
  {
    keys: (match) => match.directSourcePrefixRanges,
    choose: (level, { info }) => inRange(level, info.directRemoteAddress),
  },
  {
    keys: (match) => (match.sourceType === 'ANY' ? [] : [match.sourceType]),
    choose: (level, { info }) => orAny(level, isLocal(info) ? 'SAME_IP_OR_LOOPBACK' : 'EXTERNAL'),
  },
  {
    keys: (match) => match.sourcePrefixRanges,
    choose: (level, { info }) => inRange(level, info.remoteAddress),
  },
  {
    keys: (match) => match.sourcePorts.map(String),
    choose: (level, { info }) => orAny(level, String(portOfAddress(info.remoteAddress))),
  },
];

/** 127.0.0.1 of all of 127.0.0.0/8, as Envoy. */
export function isLocal(info: ConnectionInfo): boolean {
  const remote = ipOfAddress(info.remoteAddress);
  return remote === ipOfAddress(info.localAddress) || remote === '127.0.0.1' || remote === '::1';
}
