// The extensions that are part of the data plane: they need more of it than the contracts offer. What the main thread needs of them;
// `prepare-core-extensions.ts` has the rest, which loads all that a request touches.
import type { Extension } from '#extension/registry.ts';
import { dnsFilter, httpConnectionManager, tcpProxy, udpProxy } from './core-extension-names.ts';
import { parseDnsFilter } from './dns-filter/dns-filter-config.ts';
import { parseConnectionManager } from './http/parse-manager.ts';
import { parseTcpProxy } from './tcp/tcp-proxy-config.ts';
import { parseUdpProxy } from './udp/udp-proxy-config.ts';

export const coreExtensions: readonly Extension[] = [
  { ...httpConnectionManager, parse: parseConnectionManager },
  { ...tcpProxy, parse: parseTcpProxy },
  { ...udpProxy, parse: parseUdpProxy },
  { ...dnsFilter, parse: parseDnsFilter },
];
