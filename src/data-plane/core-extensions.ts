// The extensions that are part of the data plane: they need more of it than the contracts offer. What the main thread needs of them;
// `prepare-core-extensions.ts` has the rest, which loads all that a request touches.
import { defineHttpFilter } from '#extension/http-filter.ts';
import type { Extension } from '#extension/registry.ts';
import {
  dnsFilter,
  forwardProxy,
  httpConnectionManager,
  sniForwardProxy,
  tcpProxy,
  udpProxy,
} from './core-extension-names.ts';
import { parseDnsFilter } from './dns-filter/dns-filter-config.ts';
import { parseForwardProxy, parseForwardProxyRoute } from './dynamic-forward-proxy/forward-proxy-config.ts';
import { parseConnectionManager } from './http/parse-manager.ts';
import { parseSniForwardProxy } from './sni-dynamic-forward-proxy/sni-forward-proxy-config.ts';
import { parseTcpProxy } from './tcp/tcp-proxy-config.ts';
import { parseUdpProxy } from './udp/udp-proxy-config.ts';

export const coreExtensions: readonly Extension[] = [
  { ...httpConnectionManager, parse: parseConnectionManager },
  { ...tcpProxy, parse: parseTcpProxy },
  { ...udpProxy, parse: parseUdpProxy },
  { ...dnsFilter, parse: parseDnsFilter },
  defineHttpFilter({
    ...forwardProxy,
    parse: parseForwardProxy,
    parseRoute: parseForwardProxyRoute,
    prepare: preparedInWorkers,
  }),
  { ...sniForwardProxy, parse: parseSniForwardProxy },
];

function preparedInWorkers(): never {
  throw new Error('workers have what this is prepared with');
}
