// Writes docs/supported.md from the registry: every extension that is built in. `node tools/gen-supported.ts`
import { globSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { loadRegistry } from '../src/data-plane/server.ts';

const kinds: Readonly<Record<string, string>> = {
  http_filter: 'HTTP filters',
  network_filter: 'Network filters',
  listener_filter: 'Listener filters',
  udp_filter: 'UDP filters',
  downstream_transport_socket: 'Transport sockets of listeners',
  upstream_transport_socket: 'Transport sockets of clusters',
  load_balancer: 'Load balancing policies',
  access_logger: 'Access loggers',
  early_header_mutation: 'Early header mutations',
  original_ip_detection: 'Detection of the client address',
  request_id: 'Request ids',
  retry_host_predicate: 'Host predicates of retries',
  retry_priority: 'Priorities of retries',
  internal_redirect_predicate: 'Predicates of internal redirects',
};

/** The page as it should be. */
export async function supportedPage(): Promise<string> {
  const registry = await loadRegistry([new URL('../src/extensions/all.ts', import.meta.url).href]);
  const pages = new Map<string, string>();
  for (const page of globSync('src/{extensions/*,data-plane}/*/README.md')) {
    const name = /^# (\S+)/.exec(readFileSync(page, 'utf8'))?.[1];
    if (name !== undefined) pages.set(name, `../${page}`);
  }
  const lines = [
    '# What is supported',
    '',
    'Printed by `tools/gen-supported.ts` from the registry; a test keeps it true. Any other extension of Envoy is refused by name when the',
    'proxy starts, and so is every field that a page does not list; `chancery validate` accepts all that Envoy 1.40 accepts. Clusters are',
    '`STATIC`, `EDS` from a file, `STRICT_DNS`, `LOGICAL_DNS`, `ORIGINAL_DST`, the typed `DnsCluster` or the',
    '[dynamic forward proxy](../src/data-plane/dynamic-forward-proxy/README.md), with subsets by `lb_subset_config` or',
    '`envoy.extensions.load_balancing_policies.subset.v3.Subset` around another policy, and with hosts that requests name by',
    '`envoy.extensions.load_balancing_policies.override_host.v3.OverrideHost`; resources come from the bootstrap and from files.',
    '',
    'What a listener takes is in [listeners.md](listeners.md), how hosts are checked in [health-checks.md](health-checks.md). What may',
    'change while the proxy runs is in [dynamic-configuration.md](dynamic-configuration.md).',
    '',
    'Next: xDS over gRPC and REST, outlier detection, tracing. Differences are in [differences.md](differences.md).',
  ];
  const unknown = registry.all.filter((it) => kinds[it.kind] === undefined);
  if (unknown.length > 0)
    throw new Error(`kinds without a heading: ${unknown.map((it) => it.kind).join(', ')}`);
  for (const [kind, heading] of Object.entries(kinds)) {
    const own = registry.all.filter((it) => it.kind === kind).sort((a, b) => (a.name < b.name ? -1 : 1));
    lines.push('', `## ${heading}`, '');
    for (const { name, type } of own) {
      const page = pages.get(name);
      const title = page === undefined ? `\`${name}\`` : `[\`${name}\`](${page})`;
      const types = (typeof type === 'string' ? [type] : type)
        .filter((it) => it !== '')
        .map((it) => `\`${it}\``);
      lines.push(`- ${title}${types.length > 0 ? `: ${types.join(', ')}` : ''}`);
    }
  }
  return `${lines.join('\n')}\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync('docs/supported.md', await supportedPage());
}
