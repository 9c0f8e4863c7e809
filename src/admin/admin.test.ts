import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { request } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { LogLevel, Logs, logs } from '#base/logger.ts';
import { create } from '#schema/create.ts';
import type { Message } from '#schema/descriptor.ts';
import { message } from '#schema/registry.ts';
import { MergedStats } from '#stats/merged.ts';
import { StatsStore } from '#stats/store.ts';
import { addressText } from './address-text.ts';
import { Admin } from './admin.ts';
import { parseQuery } from './endpoint.ts';
import { loggingEndpoint } from './endpoints/logging.ts';
import { statsEndpoints } from './endpoints/stats.ts';
import { applyFieldMask, parseFieldMask } from './field-mask.ts';
import { type AdminAddress, AdminServer, type AdminServerOptions } from './server.ts';

logs.configure({ level: LogLevel.Off });
const nothing = Buffer.alloc(0);

async function start(t: TestContext, address: AdminAddress, more: Partial<AdminServerOptions> = {}) {
  const store = new StatsStore();
  const server = new AdminServer({ admin: new Admin(), address, stats: store.root, ...more });
  await server.start();
  t.after(() => server.close());
  return { server, store };
}

const anyPort: AdminAddress = { host: '127.0.0.1', port: 0 };
const portOf = (server: AdminServer) => Number(server.boundAddress().split(':').at(-1));

async function raw(port: number, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const received: Buffer[] = [];
    const socket = connect({ host: '127.0.0.1', port }, () => socket.write(text));
    socket.on('data', (bytes: Buffer) => received.push(bytes));
    socket.on('end', () => resolve(Buffer.concat(received).toString()));
    socket.on('error', reject);
  });
}

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'admin-'));
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}

test('writes the bound address to a file', async (t) => {
  const addressPath = join(folder(t), 'address');
  const { server } = await start(t, anyPort, { addressPath });
  assert.match(server.boundAddress(), /^127\.0\.0\.1:\d+$/);
  assert.equal(readFileSync(addressPath, 'utf8'), server.boundAddress());
});

test('listens on a socket file with its mode, also where a former one was left', async (t) => {
  const path = join(folder(t), 'admin.sock');
  const first = await start(t, { path });
  await first.server.close();
  const { server } = await start(t, { path, mode: 0o640 });
  assert.equal(server.boundAddress(), path);
  assert.equal(statSync(path).mode & 0o777, 0o640);
  const status = await new Promise((resolve, reject) => {
    request({ socketPath: path, path: '/help' }, (response) => resolve(response.resume().statusCode))
      .on('error', reject)
      .end();
  });
  assert.equal(status, 200);
});

test('a taken address is an error of start', async (t) => {
  const { server } = await start(t, anyPort);
  const second = new AdminServer({
    admin: new Admin(),
    address: { host: '127.0.0.1', port: portOf(server) },
    stats: new StatsStore().root,
  });
  await assert.rejects(second.start(), { code: 'EADDRINUSE' });
});

test('closes when asked to, and says so', async (t) => {
  const { server } = await start(t, anyPort);
  const answer = await raw(portOf(server), 'GET /nope HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n');
  assert.match(
    answer,
    /^HTTP\/1\.1 404 Not Found\r\n(?:.*\r\n)*server: envoy\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n/,
  );
});

test('answers what it cannot read as Envoy does', async (t) => {
  const { server, store } = await start(t, anyPort);
  const answer = await raw(portOf(server), 'nonsense\r\n\r\n');
  assert.match(
    answer,
    /^HTTP\/1\.1 400 Bad Request\r\ncontent-length: 11\r\n[\s\S]*\r\nconnection: close\r\n\r\nBad Request$/,
  );
  assert.equal(store.root.scope('http.admin').counter('downstream_cx_protocol_error').value, 1);
});

test('HTTP/1.0 is told to upgrade', async (t) => {
  const { server } = await start(t, anyPort);
  const answer = await raw(portOf(server), 'GET /help HTTP/1.0\r\n\r\n');
  assert.match(answer, /^HTTP\/1\.1 426 Upgrade Required\r\n[\s\S]*Upgrade Required/);
});

test('a body beyond the limit is refused', async (t) => {
  const { server } = await start(t, anyPort);
  const body = 'x'.repeat((1 << 20) + 1);
  const answer = await raw(
    portOf(server),
    `POST /help HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  );
  assert.match(answer, /^HTTP\/1\.1 413 /);
});

test('a handler that fails is a 500 and leaves the server up', async (t) => {
  const admin = new Admin();
  admin.register({
    path: '/broken',
    help: '',
    mutates: false,
    handle() {
      throw new Error('broken');
    },
  });
  const { server } = await start(t, anyPort, { admin });
  const ask = () => raw(portOf(server), 'GET /broken HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n');
  assert.match(await ask(), /^HTTP\/1\.1 500 /);
  assert.match(await ask(), /^HTTP\/1\.1 500 /);
});

test('paths are normalized', async () => {
  const admin = new Admin();
  const status = async (target: string) => (await admin.handle('GET', target, '', nothing)).status ?? 200;
  for (const target of ['/help', '//help', '/a/../help', '/./help', '/h%65lp', '/help?x']) {
    assert.equal(await status(target), 200, target);
  }
  for (const target of ['/help/', '/help/.', '/HELP']) assert.equal(await status(target), 404, target);
});

test('the home page has every endpoint, with a form where something is to be given', async () => {
  const admin = new Admin();
  admin.register({
    path: '/act',
    help: 'a <b>',
    mutates: true,
    parameters: [{ name: 'p', help: 'h', choices: ['x'] }],
    handle: () => ({ body: '' }),
  });
  const { body, contentType } = await admin.handle('GET', '/', '', nothing);
  assert.equal(contentType, 'text/html; charset=UTF-8');
  assert.match(body, /<a href="help">help<\/a>/);
  assert.match(body, /<form action="act" method="post" id="act">/);
  assert.match(body, /<select name="p" id="act-p" form="act"><option value="x">x<\/option><\/select>/);
  assert.match(body, /a &lt;b&gt;/);
});

test('queries are decoded, and the first value of a name counts', () => {
  const query = parseQuery('a=1%2e5&b&a=2&c=x+y%zz%C3%A9=');
  assert.deepEqual(
    [query.get('a'), query.get('b'), query.has('b'), query.value('b'), query.get('c'), query.get('d')],
    ['1.5', '', true, undefined, 'x+y%zzé=', undefined],
  );
});

function statsAdmin() {
  const store = new StatsStore();
  store.root.counter('a.<b>').value = 2;
  store.root.gauge('hidden', 'hidden_accumulate').value = 3;
  const admin = new Admin();
  const merged = new MergedStats(store);
  admin.register(
    ...statsEndpoints({
      stats: merged,
      tags: { extract: (name: string) => ({ name, tags: [] }) } as never,
      bounds: () => [],
      owner: { scrape() {}, endpoints: () => [], resetWorkerCounters() {} },
    }),
  );
  return async (target: string) => (await admin.handle('GET', target, '', nothing)).body;
}

test('hidden gauges are shown when asked for', async () => {
  const get = statsAdmin();
  assert.equal(await get('/stats'), 'a.<b>: 2\n');
  assert.equal(await get('/stats?hidden=include'), 'a.<b>: 2\nhidden: 3\n');
  assert.equal(await get('/stats?hidden=only'), 'hidden: 3\n');
});

test('the filter can be inverted', async () => {
  const get = statsAdmin();
  assert.equal(await get('/stats?hidden=include&filter=^h'), 'hidden: 3\n');
  assert.equal(await get('/stats?hidden=include&filter=^h&invert_filter'), 'a.<b>: 2\n');
});

test('HTML pages escape names and keep the filter', async () => {
  const get = statsAdmin();
  assert.match(
    await get('/stats?format=html&filter=a'),
    /name="filter" value="a"[\s\S]*<pre id="stats">a\.&lt;b&gt;: 2\n<\/pre>/,
  );
  assert.match(await get('/stats?format=active-html'), /query\.set\('format', 'json'\)/);
});

test('Prometheus refuses views it does not have', async () => {
  const get = statsAdmin();
  assert.equal(
    await get('/stats/prometheus?histogram_buckets=detailed'),
    'unsupported prometheus histogram bucket mode',
  );
  assert.equal(
    await get('/stats?histogram_buckets=prometheusnative'),
    'Invalid histogram_buckets type for non prometheus stats type',
  );
});

test('fine-grain levels are set by file, glob and group', async () => {
  const own = new Logs(() => {});
  own.configure({ level: LogLevel.Info, fineGrain: true });
  own.logger('upstream');
  const admin = new Admin();
  let changes = 0;
  admin.register(loggingEndpoint(own, { levelsChanged: () => void changes++ }));
  const post = async (query: string) => (await admin.handle('POST', `/logging?${query}`, '', nothing)).body;
  assert.equal(
    await post('paths=admin.test.ts:debug'),
    'active loggers:\n  src/admin/admin.test.ts: debug\n\n',
  );
  assert.equal(
    await post('paths=src/*/admin*:error'),
    'active loggers:\n  src/admin/admin.test.ts: error\n\n',
  );
  assert.equal(await post('group=upstream:trace'), 'active loggers:\n  src/admin/admin.test.ts: trace\n\n');
  assert.match(await post('group=nope:trace'), /^error: unknown logger name\n/);
  assert.match(await post('paths=admin.test.ts'), /^error: empty logger name or empty logger level\n/);
  assert.equal(changes, 3);
});

test('masks look into packed messages, not into lists', () => {
  const type = message('envoy.admin.v3.ClustersConfigDump.StaticCluster');
  const dumped = create(type.name as 'envoy.admin.v3.ClustersConfigDump.StaticCluster', {
    cluster: {
      '@type': 'type.googleapis.com/envoy.config.cluster.v3.Cluster',
      name: 'a',
      connect_timeout: '1s',
    },
    last_updated: '2026-01-01T00:00:00Z',
  }) as object as Message;
  const cut = (mask: string) => applyFieldMask(type, dumped, parseFieldMask(mask));
  assert.deepEqual(cut('cluster.name'), {
    cluster: { '@type': 'type.googleapis.com/envoy.config.cluster.v3.Cluster', name: 'a' },
  });
  assert.deepEqual(Object.keys(cut('last_updated,cluster.name')!), ['last_updated', 'cluster']);
  assert.equal(cut('cluster'), undefined);
  assert.equal(cut('cluster.nope'), undefined);
  assert.equal(cut('cluster.health_checks.timeout'), undefined);
  assert.deepEqual(cut('cluster.eds_cluster_config.service_name'), {
    cluster: { '@type': 'type.googleapis.com/envoy.config.cluster.v3.Cluster' },
  });
  const listener = message('envoy.admin.v3.ListenersConfigDump.DynamicListener');
  const inListener = (mask: string) => applyFieldMask(listener, {}, parseFieldMask(mask));
  assert.deepEqual(inListener('active_state.listener'), {});
  assert.equal(inListener('active_state.listener.name'), undefined);
});

test('prints addresses', () => {
  const text = (init: Parameters<typeof create<'envoy.config.core.v3.Address'>>[1]) =>
    addressText(create('envoy.config.core.v3.Address', init));
  assert.equal(text({ socket_address: { address: '::1', port_value: 80 } }), '[::1]:80');
  assert.equal(text({ pipe: { path: '/run/x.sock' } }), '/run/x.sock');
  assert.equal(
    text({ envoy_internal_address: { server_listener_name: 'l', endpoint_id: 'e' } }),
    'envoy://l/e',
  );
});
