// Every extension has a page, and the example on it is a configuration that chancery takes.
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parse } from 'yaml';
import type { ConfigError } from '#config/config-error.ts';
import { loadBootstrap } from '#config/load.ts';
import { loadRegistry, parseBootstrap } from '#data-plane/server.ts';
import { certificatePath } from '#testing/certificates.ts';
import { frontProxyYaml } from '#testing/start-proxy.ts';

const registry = await loadRegistry([import.meta.resolve('#extensions/all.ts')]);
const pages = globSync([
  'src/extensions/{http-filters,network-filters,listener-filters,udp-filters}/*/README.md',
  'src/extensions/load-balancers/*/README.md',
  'src/extensions/transport-sockets/{starttls,tap,upstream-proxy-protocol}/README.md',
  'src/data-plane/{tcp,udp,dns-filter,dynamic-forward-proxy,sni-dynamic-forward-proxy}/README.md',
]);
const address = { socket_address: { address: '127.0.0.1', port_value: 0 } };
const echo = {
  name: 'echo',
  typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo' },
};

function bootstrapOf(page: string, example: { name: string }): string {
  if (/http-filters|\/dynamic-forward/.test(page)) return frontProxyYaml({ to: 1, httpFilters: [example] });
  if (page.includes('load-balancers')) {
    const load_balancing_policy = { policies: [{ typed_extension_config: example }] };
    return JSON.stringify({ static_resources: { clusters: [{ name: 'c', load_balancing_policy }] } });
  }
  if (/udp|dns-filter/.test(page))
    return JSON.stringify({
      static_resources: {
        listeners: [
          {
            name: 'l',
            address: { socket_address: { ...address.socket_address, protocol: 'UDP' } },
            listener_filters: [example],
          },
        ],
      },
    });
  if (page.includes('upstream-proxy-protocol'))
    return JSON.stringify({ static_resources: { clusters: [{ name: 'c', transport_socket: example }] } });
  if (/starttls|\/tap/.test(page))
    return JSON.stringify({
      static_resources: {
        listeners: [{ name: 'l', address, filter_chains: [{ filters: [echo], transport_socket: example }] }],
      },
    });
  const isTerminal = /\/(echo|direct-response|tcp)\//.test(page);
  const chain = page.includes('listener-filters') ? [echo] : isTerminal ? [example] : [example, echo];
  return JSON.stringify({
    static_resources: {
      listeners: [
        {
          name: 'l',
          address,
          filter_chains: [{ filters: chain }],
          ...(page.includes('listener-filters') && { listener_filters: [example] }),
        },
      ],
    },
  });
}

test('every folder of an extension has a page', () => {
  const folders = globSync(
    'src/extensions/{http-filters,network-filters,listener-filters,udp-filters}/*/index.ts',
  ).map((it) => it.replace('index.ts', 'README.md'));
  assert.ok(folders.length > 10);
  assert.deepEqual(
    folders.filter((it) => !pages.includes(it)),
    [],
  );
});

for (const page of pages) {
  test(`the example of ${page} is accepted`, async () => {
    const text = readFileSync(page, 'utf8')
      .replace('server.pem', certificatePath('server-ec'))
      .replace('server-key.pem', certificatePath('server-ec-key'));
    const example = parse(/```yaml\n([^`]*)```/.exec(text)![1]!) as { name: string };
    assert.ok(text.startsWith(`# ${example.name}\n`), 'the title is the name of the extension');
    const loaded = await loadBootstrap({ yaml: bootstrapOf(page, example) });
    const problems: ConfigError[] = [...loaded.problems];
    parseBootstrap(loaded.bootstrap as never, registry, problems);
    assert.deepEqual(
      problems.filter((it) => it.severity === 'error').map((it) => it.message),
      [],
    );
  });
}

for (const [i, [, yaml]] of [
  ...readFileSync('docs/listeners.md', 'utf8').matchAll(/```yaml\n([^`]*)```/g),
].entries()) {
  test(`example ${i + 1} of docs/listeners.md is accepted`, async () => {
    const loaded = await loadBootstrap({ yaml: yaml! });
    const problems: ConfigError[] = [...loaded.problems];
    parseBootstrap(loaded.bootstrap as never, registry, problems);
    assert.deepEqual(
      problems.map((it) => it.message),
      [],
    );
  });
}
