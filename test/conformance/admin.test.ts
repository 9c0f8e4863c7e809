// The admin interface beside the real Envoy, where recordings are thin: requests that are no good, repeated parameters, which
// metrics count as used, and what the runtime layers on disk come to.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { missing } from '#testing/peers.ts';
import { expectSame, type Side } from './side-by-side.ts';
import { accessLog, address, connectionManager, endpoint } from './side-by-side-configuration.ts';

const closing = 'HTTP/1.1\r\nhost: a\r\nconnection: close\r\n';

const requests: readonly string[] = [
  `GET /ready#x ${closing}\r\n`,
  `GET /ready?a#x ${closing}\r\n`,
  `GET ready ${closing}\r\n`,
  `GET * ${closing}\r\n`,
  `OPTIONS * ${closing}\r\n`,
  `GET http://x/ready ${closing}\r\n`,
  'GET /ready HTTP/1.1\r\nconnection: close\r\n\r\n',
  'GET /ready HTTP/1.0\r\n\r\n',
  'GET /ready HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\n\r\n',
  'GET /ready HTTP/3.0\r\n\r\n',
  'GARBAGE\r\n\r\n',
  'GET /re ady HTTP/1.1\r\nhost: a\r\n\r\n',
  `TRACE /ready ${closing}\r\n`,
  `FOO /ready ${closing}\r\n`,
  `get /ready ${closing}\r\n`,
  `GET /ready ${closing}content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
  `GET /ready ${closing}x: ${'y'.repeat(70_000)}\r\n\r\n`,
  `GET /${'y'.repeat(70_000)} ${closing}\r\n`,
  `GET /ready ${closing}${'x: y\r\n'.repeat(110)}\r\n`,
  `GET /ready ${closing}expect: 100-continue\r\ncontent-length: 1\r\n\r\na`,
  `POST /runtime_modify ${closing}\r\n`,
  `POST /runtime_modify?a=b ${closing}\r\n`,
  `POST /healthcheck/fail ${closing}content-length: 5\r\n\r\nabcde`,
  `GET /ready ${closing}\r\n`,
  `POST /healthcheck/ok ${closing}\r\n`,
  `GET /st%61ts?filter=server.live ${closing}\r\n`,
  `GET /stats?filter=%73erver.live ${closing}\r\n`,
  `GET //ready ${closing}\r\n`,
  `GET /a/../ready ${closing}\r\n`,
  `GET /ready/ ${closing}\r\n`,
  'GET /ready HTTP/1.1\r\nhost: a\r\n\r\nGET /hot_restart_version HTTP/1.1\r\nhost: b\r\nconnection: close\r\n\r\n',
  `POST /logging?level=info&level=debug ${closing}\r\n`,
  `POST /logging?admin=debug&admin=info ${closing}\r\n`,
  `POST /logging?level=info&admin=debug ${closing}\r\n`,
  `POST /logging ${closing}content-type: application/x-www-form-urlencoded\r\ncontent-length: 11\r\n\r\nlevel=error`,
  `POST /logging?level=info ${closing}content-type: application/x-www-form-urlencoded\r\ncontent-length: 11\r\n\r\nadmin=error`,
  `POST /logging ${closing}content-type: application/x-www-form-urlencoded; charset=UTF-8\r\ncontent-length: 11\r\n\r\nlevel=trace`,
  `POST /stats?filter=server.live ${closing}content-type: application/x-www-form-urlencoded\r\ncontent-length: 10\r\n\r\nfilter=abc`,
];

const yamlOf = (top: object = {}) =>
  JSON.stringify({
    admin: { address: address(21001) },
    ...top,
    static_resources: {
      listeners: [
        {
          name: 'front',
          address: address(21000),
          filter_chains: [
            { filters: [connectionManager({ route_config: { virtual_hosts: [] }, stat_prefix: 'front' })] },
          ],
        },
      ],
      clusters: [{ name: 'up', load_assignment: endpoint('up', 21201) }],
    },
  });

test('requests that the admin interface does not like', {
  skip: missing('envoy'),
  timeout: 60_000,
}, async (t) => {
  await expectSame(t, yamlOf(), async (side) => {
    const answers: Record<string, string> = {};
    for (const request of requests) answers[request.slice(0, 120)] = await raw(side, request);
    return answers;
  });
});

const logged = [
  'REQ(:METHOD) REQ(:PATH) REQ(X-FORWARDED-PROTO) REQ(X-FORWARDED-FOR) REQ(X-ENVOY-EXTERNAL-ADDRESS) RESP(CONTENT-TYPE) RESP(SERVER)',
  'RESPONSE_CODE RESPONSE_FLAGS RESPONSE_CODE_DETAILS PROTOCOL BYTES_RECEIVED BYTES_SENT LISTENER_NAME ACCESS_LOG_TYPE STREAM_ID',
  'DOWNSTREAM_DETECTED_CLOSE_TYPE DOWNSTREAM_HEADER_BYTES_RECEIVED DOWNSTREAM_WIRE_BYTES_RECEIVED ROUTE_RESOLUTION_COUNT',
  'REQUEST_HEADERS_BYTES QUERY_PARAM(filter) PATH(NQ) DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT',
];

test('the access log of the admin interface', { skip: missing('envoy'), timeout: 60_000 }, async (t) => {
  const format = logged.join(' ').replaceAll(/\S+/g, '%$&%').replaceAll(' ', '|');
  const admin = { address: address(21001), access_log: accessLog('admin.log', format) };
  await expectSame(t, yamlOf({ admin }), async (side) => {
    const name = 'x-forwarded-for: 1.2.3.4\r\nx-request-id: an id\r\n';
    await raw(side, `GET /stats?filter=none ${closing}\r\n`);
    await raw(side, `GET /nowhere ${closing}user-agent: me\r\n\r\n`);
    await raw(side, `POST /healthcheck/ok ${closing}${name}content-length: 3\r\n\r\nabc`);
    await raw(side, `GET /quitquitquit ${closing}\r\n`);
    await side.stop();
    // Whether somebody asked before it was ready depends on the machine.
    return side.lines('admin.log').filter((line) => !line.includes('|/ready|'));
  });
});

test('which metrics count as used', { skip: missing('envoy'), timeout: 60_000 }, async (t) => {
  await expectSame(t, yamlOf(), async (side) => {
    await raw(side, `POST /reset_counters ${closing}\r\n`);
    const { body } = await side.proxy.admin('/stats?usedonly');
    return (
      body
        .split('\n')
        .map((line) => line.slice(0, line.indexOf(':')).replace(String(side.port(21000)), 'front'))
        // There is no watchdog and no overload manager; whether somebody asked before it was ready depends on the machine.
        .filter((name) => !/watchdog|overload|^dns\.cares\.|_5xx$/.test(name))
    );
  });
});

test('names of the command line go before those of the bootstrap', {
  skip: missing('envoy'),
  timeout: 60_000,
}, async (t) => {
  const files = runtimeFolder(t);
  const top = {
    node: { id: 'file', cluster: 'file', locality: { region: 'r', zone: 'file' } },
    layered_runtime: {
      layers: [
        {
          name: 'disk',
          disk_layer: {
            symlink_root: join(files, 'current'),
            subdirectory: 'of',
            append_service_cluster: true,
          },
        },
      ],
    },
  };
  const observe = async (side: Side) => {
    const { node } = JSON.parse((await side.proxy.admin('/server_info')).body);
    const [{ bootstrap }] = JSON.parse((await side.proxy.admin('/config_dump')).body).configs;
    return {
      node: [node.id, node.cluster, node.locality],
      written: [bootstrap.node.id, bootstrap.node.cluster, bootstrap.node.locality],
      runtime: JSON.parse((await side.proxy.admin('/runtime')).body),
    };
  };
  const flags = ['--service-node', 'flags', '--service-cluster', 'flags', '--service-zone', 'flags'];
  await expectSame(t, yamlOf(top), observe, { flags });
  await expectSame(t, yamlOf({ ...top, node: {} }), observe, { flags: flags.slice(2) });
});

const layerSets = [['one'], ['none'], ['one', 'two'], ['one', 'none', 'two']] as const;

for (const folders of layerSets) {
  test(`runtime layers on disk: ${folders.join(', ')}`, {
    skip: missing('envoy'),
    timeout: 60_000,
  }, async (t) => {
    const root = runtimeFolder(t);
    const layers = [
      { name: 'static', static_layer: { 'a.b': 1, c: 2 } },
      ...folders.map((subdirectory) => ({
        name: subdirectory,
        disk_layer: { symlink_root: join(root, 'current'), subdirectory },
      })),
      { name: 'admin', admin_layer: {} },
    ];
    await expectSame(t, yamlOf({ layered_runtime: { layers } }), async (side) => {
      const view = async () => ({
        stats: await side.stats('^runtime'),
        runtime: JSON.parse((await side.proxy.admin('/runtime')).body),
      });
      const before = await view();
      const modified = await side.proxy.admin('/runtime_modify?c=5&d=6', 'POST');
      return { before, modified, after: await view() };
    });
  });
}

function runtimeFolder(t: TestContext): string {
  const root = mkdtempSync(join(tmpdir(), 'runtime-'));
  t.after(() => rmSync(root, { recursive: true }));
  for (const [folder, key, value] of [
    ['one', 'a.b', '5'],
    ['two', 'c', '7'],
    ['of/flags', 'd', '9'],
  ] as const) {
    mkdirSync(join(root, 'current', folder), { recursive: true });
    writeFileSync(join(root, 'current', folder, key), `${value}\n`);
  }
  return root;
}

/** What comes back until the connection ends, without times; of the lists of loggers and pages only two lines. */
function raw(side: Side, request: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port: side.port(21001) });
    let text = '';
    const finish = () =>
      resolve(
        text
          .replace(/^date: .*\r$/gim, 'date: ⟨date⟩\r')
          .replace(/^[0-9a-f]+\r\n(?=error: |invalid path|active loggers)/m, '')
          .replace(/active loggers:[\s\S]*/, (list) => /^ {2}admin: .*$/m.exec(list)![0])
          .replace(/admin commands are:[\s\S]*/, 'admin commands are: ⟨list⟩'),
      );
    socket.on('data', (data) => {
      text += data.toString('latin1');
    });
    socket.on('error', finish);
    socket.on('close', finish);
    socket.write(request, 'latin1');
  });
}
