// dns_filter through the whole proxy: what it forwards, files, access logs. Answers from the table are compared with Envoy's in
// test/conformance/dns-filter.test.ts.
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { LogLevel, logs } from '#base/logger.ts';
import type { ConfigError } from '#config/config-error.ts';
import { loadBootstrap } from '#config/load.ts';
import { loadRegistry, parseBootstrap } from '#data-plane/server.ts';
import { startProxy } from '#testing/start-proxy.ts';

logs.configure({ level: LogLevel.Off });

const address = (port: number, protocol: string) => ({
  socket_address: { address: '127.0.0.1', port_value: port, protocol },
});

const bootstrap = (filter: object) =>
  JSON.stringify({
    admin: { address: address(0, 'TCP') },
    static_resources: {
      listeners: [
        {
          name: 'dns',
          address: address(0, 'UDP'),
          listener_filters: [
            {
              name: 'dns',
              typed_config: {
                '@type': 'type.googleapis.com/envoy.extensions.filters.udp.dns_filter.v3.DnsFilterConfig',
                stat_prefix: 'd',
                ...filter,
              },
            },
          ],
        },
      ],
    },
  });

function query(name: string, type: number): Buffer {
  const labels = name.split('.').flatMap((it) => [Buffer.from([it.length]), Buffer.from(it)]);
  return Buffer.concat([
    Buffer.from([0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
    ...labels,
    Buffer.from([0, type >> 8, type & 255, 0, 1]),
  ]);
}

async function ask(t: TestContext, port: number, name: string, type: number) {
  const client = createSocket('udp4');
  t.after(() => client.close());
  client.connect(port, '127.0.0.1');
  await once(client, 'connect');
  client.send(query(name, type));
  const [answer] = (await once(client, 'message')) as [Buffer];
  return {
    code: answer[3]! & 15,
    isRecursive: (answer[3]! & 0x80) !== 0,
    count: answer.readUInt16BE(6),
    answer,
  };
}

/** Answers A queries with 10.7.0.1, knows no name that begins with `nx` and says nothing about those that begin with `slow`. */
async function nameServer(t: TestContext): Promise<number> {
  const server = createSocket('udp4').bind(0, '127.0.0.1');
  t.after(() => server.close());
  await once(server, 'listening');
  server.on('message', (bytes, from) => {
    let end = 12;
    while (bytes[end] !== 0) end += 1 + bytes[end]!;
    const question = bytes.subarray(12, end + 5);
    const name = question.toString('latin1');
    if (name.includes('slow')) return;
    const isKnown = !name.includes('nx') && bytes[end + 2] === 1;
    const header = Buffer.from([0x81, isKnown ? 0x80 : 0x83, 0, 1, 0, isKnown ? 1 : 0, 0, 0, 0, 0]);
    const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 10, 7, 0, 1]);
    server.send(
      Buffer.concat([bytes.subarray(0, 2), header, question, ...(isKnown ? [record] : [])]),
      from.port,
      from.address,
    );
  });
  return server.address().port;
}

const forwardTo = (port: number) => ({
  client_config: {
    resolver_timeout: '1s',
    max_pending_lookups: 1,
    typed_dns_resolver_config: {
      name: 'envoy.network.dns_resolver.cares',
      typed_config: {
        '@type': 'type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig',
        resolvers: [address(port, 'UDP')],
        dns_resolver_options: { no_default_search_domain: true },
      },
    },
  },
  server_config: {
    inline_dns_table: {
      virtual_domains: [
        { name: 'www.here.com', endpoint: { address_list: { address: ['10.0.0.1'] } } },
        { name: 'ttl.there.com', answer_ttl: '62s', endpoint: { cluster_name: 'missing' } },
      ],
    },
  },
});

test('asks another resolver about what is not in the table', async (t) => {
  const proxy = await startProxy(t, bootstrap(forwardTo(await nameServer(t))));
  const here = await ask(t, proxy.port(), 'www.here.com', 1);
  assert.deepEqual([here.code, here.isRecursive, here.count], [0, true, 1]);
  const there = await ask(t, proxy.port(), 'www.there.com', 1);
  assert.deepEqual([there.code, there.count], [0, 1]);
  assert.deepEqual([...there.answer.subarray(-4)], [10, 7, 0, 1]);
  const ttl = await ask(t, proxy.port(), 'ttl.there.com', 1);
  assert.equal(ttl.answer.readUInt32BE(ttl.answer.length - 10), 62);
  assert.equal((await ask(t, proxy.port(), 'nx.there.com', 1)).code, 3);
  // Only addresses are asked for elsewhere.
  assert.equal((await ask(t, proxy.port(), 'www.there.com', 33)).code, 3);
  const { body } = await proxy.admin.get('/stats?filter=external|unanswered');
  for (const line of [
    'externally_resolved_queries: 4',
    'external_a_record_queries: 3',
    'external_a_record_answers: 2',
    'external_unsupported_queries: 1',
    'unanswered_queries: 2',
  ]) {
    assert.ok(body.includes(`dns_filter.d.${line}\n`), `${line} in\n${body}`);
  }
});

test('gives up on a resolver that says nothing, and does not let too many wait for it', async (t) => {
  const proxy = await startProxy(t, bootstrap(forwardTo(await nameServer(t))));
  const codes = await Promise.all(
    ['slow1.x.com', 'slow2.x.com', 'slow3.x.com'].map(async (it) => (await ask(t, proxy.port(), it, 1)).code),
  );
  assert.deepEqual(codes, [3, 3, 3]);
});

test('reads a table from a file, and goes on without one', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'dns-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'table.yaml');
  writeFileSync(
    file,
    'virtual_domains: [{ name: www.x.com, endpoint: { address_list: { address: [10.0.0.9] } } }]',
  );
  for (const [filename, code] of [
    [file, 0],
    [join(folder, 'absent.yaml'), 3],
  ] as const) {
    const proxy = await startProxy(t, bootstrap({ server_config: { external_dns_table: { filename } } }));
    assert.equal((await ask(t, proxy.port(), 'www.x.com', 1)).code, code);
    await proxy.close();
  }
});

test('refuses what it does not support, by name', async () => {
  const loaded = await loadBootstrap({
    yaml: bootstrap({
      server_config: {
        inline_dns_table: {
          virtual_domains: [{ name: 'a.b', endpoint: { address_list: { address: ['10.0.0.1', '1.2.3'] } } }],
        },
      },
      access_log: [
        {
          name: 'file',
          typed_config: {
            '@type': 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog',
            path: '/dev/null',
            log_format: { json_format: { name: '%QUERY_NAME%', who: '%CONNECTION_ID%' } },
          },
        },
      ],
    }),
  });
  const problems: ConfigError[] = [];
  parseBootstrap(
    loaded.bootstrap as never,
    await loadRegistry([import.meta.resolve('#extensions/all.ts')]),
    problems,
  );
  assert.deepEqual(
    problems.map((it) => it.envoy ?? it.message),
    ['malformed IP address: 1.2.3', 'Invalid format substitution: CONNECTION_ID'],
  );
});
