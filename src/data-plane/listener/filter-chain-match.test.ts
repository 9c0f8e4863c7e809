import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AcceptedConnectionInfo } from './accepted-connection.ts';
import { FilterChainMatch } from './filter-chain-match.ts';
import type { FilterChainMatchConfig } from './listener-config.ts';

const any: FilterChainMatchConfig = {
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

interface Facts {
  local?: string;
  remote?: string;
  sni?: string;
  transport?: string;
  alpn?: string[];
}

function chosen(
  chains: Record<string, Partial<FilterChainMatchConfig> | undefined>,
  facts: Facts,
): string | undefined {
  const match = new FilterChainMatch(
    Object.entries(chains).map(([name, it]) => ({ name, config: { match: it && { ...any, ...it } } })),
  );
  const info = new AcceptedConnectionInfo(
    1,
    facts.local ?? '10.0.0.1:443',
    facts.remote ?? '192.0.2.9:5000',
    'l',
  );
  info.requestedServerName = facts.sni ?? '';
  info.transportProtocol = facts.transport ?? '';
  return match.match({ info, applicationProtocols: facts.alpn ?? [] })?.name;
}

const names = {
  exact: { serverNames: ['a.x.com'] },
  suffix: { serverNames: ['*.x.com'] },
  wide: { serverNames: ['*.com'] },
  rest: {},
};
const ranges = {
  narrow: { prefixRanges: ['10.0.0.0/24'] },
  wide: { prefixRanges: ['10.0.0.0/8'] },
  rest: undefined,
};

const cases: [
  string,
  string | undefined,
  Record<string, Partial<FilterChainMatchConfig> | undefined>,
  Facts,
][] = [
  ['an exact server name', 'exact', names, { sni: 'a.x.com' }],
  ['the longest suffix', 'suffix', names, { sni: 'b.c.x.com' }],
  ['a shorter suffix', 'wide', names, { sni: 'y.com' }],
  ['no name', 'rest', names, {}],
  ['a suffix does not match itself', 'wide', names, { sni: 'x.com' }],
  ['the longest range', 'narrow', ranges, {}],
  ['a wider range', 'wide', ranges, { local: '10.9.9.9:1' }],
  ['no range', 'rest', ranges, { local: '[::1]:1' }],
  [
    'the destination port before all else',
    'port',
    { port: { destinationPort: 443 }, name: { serverNames: ['a.com'] } },
    { sni: 'a.com' },
  ],
  [
    'no way back from a port',
    undefined,
    { port: { destinationPort: 443, serverNames: ['b.com'] }, rest: {} },
    { sni: 'a.com' },
  ],
  ['the transport protocol', 'tls', { tls: { transportProtocol: 'tls' }, rest: {} }, { transport: 'tls' }],
  [
    'the first protocol that the client offers',
    'h1',
    { h2: { applicationProtocols: ['h2'] }, h1: { applicationProtocols: ['http/1.1'] } },
    { alpn: ['x', 'http/1.1', 'h2'] },
  ],
  [
    'a local source',
    'local',
    { local: { sourceType: 'SAME_IP_OR_LOOPBACK' }, external: { sourceType: 'EXTERNAL' } },
    { remote: '127.0.0.1:9' },
  ],
  [
    'a loopback source but 127.0.0.1',
    'external',
    { local: { sourceType: 'SAME_IP_OR_LOOPBACK' }, external: { sourceType: 'EXTERNAL' } },
    { remote: '127.0.0.2:9' },
  ],
  [
    'an external source',
    'external',
    { local: { sourceType: 'SAME_IP_OR_LOOPBACK' }, external: { sourceType: 'EXTERNAL' } },
    {},
  ],
  [
    'a source range and port',
    'b',
    {
      a: { sourcePrefixRanges: ['192.0.2.0/24'], sourcePorts: [1] },
      b: { sourcePrefixRanges: ['192.0.2.0/24'], sourcePorts: [5000] },
    },
    {},
  ],
  ['nothing when nothing fits', undefined, { a: { serverNames: ['a.com'] } }, { sni: 'b.com' }],
];

for (const [name, expected, chains, facts] of cases) {
  test(`takes ${name}`, () => assert.equal(chosen(chains, facts), expected));
}
