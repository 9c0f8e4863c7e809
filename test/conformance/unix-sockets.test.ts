// HTTP over Unix sockets, abstract names, additional addresses and IPv4 in the clothes of IPv6, in the real Envoy and in ours: what
// requests say of their client, what logs say of both ends, and how the admin interface names the listeners.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect, type NetConnectOpts } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { freePorts } from '#testing/free-ports.ts';
import { missing } from '#testing/peers.ts';
import { type ProxyKind, startProxyProcess } from '#testing/proxy-process.ts';
import { quickLogs, withoutPort } from './black-box.ts';

const type = (name: string) => `type.googleapis.com/envoy.extensions.${name}`;
const ip = (address: string, port: number, more: object = {}) => ({
  socket_address: { address, port_value: port, ...more },
});
const ends = ['LOCAL', 'DIRECT_LOCAL', 'REMOTE', 'DIRECT_REMOTE'].flatMap((it) => [
  `DOWNSTREAM_${it}_ADDRESS`,
  `DOWNSTREAM_${it}_ADDRESS_WITHOUT_PORT`,
  `DOWNSTREAM_${it}_PORT`,
]);

function configuration(folder: string, ports: readonly number[]): string {
  const logTo = (name: string, format: object) => ({
    name: 'file',
    typed_config: {
      '@type': type('access_loggers.file.v3.FileAccessLog'),
      path: join(folder, name),
      log_format: format,
    },
  });
  const text = `${ends.map((it) => `%${it}%`).join(' ')} %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(128)%\n`;
  const textLog = logTo('text.log', { text_format_source: { inline_string: text } });
  const jsonLog = logTo('json.log', { json_format: Object.fromEntries(ends.map((it) => [it, `%${it}%`])) });
  const told = ['x-forwarded-for', 'x-envoy-external-address', 'x-envoy-internal'].map((it) => ({
    header: { key: `told-${it}`, value: `%REQ(${it})%` },
  }));
  const manager = {
    '@type': type('filters.network.http_connection_manager.v3.HttpConnectionManager'),
    stat_prefix: 'http',
    delayed_close_timeout: '0s',
    access_log: [textLog, jsonLog],
    route_config: {
      virtual_hosts: [
        {
          name: 'all',
          domains: ['*'],
          routes: [
            { match: { prefix: '/' }, direct_response: { status: 200 }, response_headers_to_add: told },
          ],
        },
      ],
    },
    http_filters: [{ name: 'router', typed_config: { '@type': type('filters.http.router.v3.Router') } }],
  };
  const listener = (name: string, address: object, options: object, more: object = {}) => ({
    name,
    address,
    access_log: [textLog],
    filter_chains: [{ filters: [{ name: 'http', typed_config: { ...manager, ...options } }] }],
    ...more,
  });
  const edge = { use_remote_address: true };
  return JSON.stringify({
    admin: { address: ip('127.0.0.1', ports[0]!) },
    static_resources: {
      listeners: [
        listener('path', { pipe: { path: join(folder, 'path.sock') } }, {}),
        listener('abstract', { pipe: { path: `@${folder}` } }, edge),
        listener('hops', { pipe: { path: join(folder, 'hops.sock') } }, { ...edge, xff_num_trusted_hops: 1 }),
        listener('more', ip('127.0.0.1', ports[1]!), edge, {
          additional_addresses: [
            { address: { pipe: { path: join(folder, 'more.sock') } } },
            { address: ip('::1', ports[2]!) },
          ],
        }),
        listener('both', ip('::', ports[3]!, { ipv4_compat: true }), edge),
        listener('mapped', ip('::ffff:127.0.0.1', ports[4]!, { ipv4_compat: true }), edge),
        listener('hidden', ip('127.0.0.1', ports[5]!), edge, { bind_to_port: false }),
      ],
    },
  });
}

function ask(to: NetConnectOpts, header: string): Promise<string> {
  return new Promise((resolve) => {
    let answer = '';
    const socket = connect(to);
    socket.on('data', (bytes: Buffer) => {
      answer += bytes.toString('latin1');
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(answer));
    socket.write(`GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n${header}\r\n`);
  });
}

async function play(kind: ProxyKind): Promise<object> {
  const folder = mkdtempSync(join(tmpdir(), 'unix-'));
  const ports = await freePorts(6);
  const proxy = await startProxyProcess({
    kind,
    folder,
    yaml: configuration(folder, ports),
    adminPort: ports[0]!,
    arguments: quickLogs,
  });
  const tidy = (text: string) =>
    ports
      .reduce((all, port, i) => withoutPort(all, port, `PORT${i}`), text.replaceAll(folder, 'FOLDER'))
      // Ports of clients.
      .replace(/(?<=[.\d\]]:|[:.]\d+ )\d{4,5}\b|(?<=REMOTE_PORT",)\d{4,5}/g, 'N');
  const clients: readonly NetConnectOpts[] = [
    { path: join(folder, 'path.sock') },
    { path: `\0${folder}` },
    { path: join(folder, 'hops.sock') },
    { path: join(folder, 'more.sock') },
    { host: '127.0.0.1', port: ports[1]! },
    { host: '::1', port: ports[2]! },
    { host: '::1', port: ports[3]! },
    { host: '127.0.0.1', port: ports[3]! },
  ];
  try {
    const answers: string[] = [];
    for (const client of clients)
      for (const header of ['', 'x-forwarded-for: 1.2.3.4\r\n', 'x-forwarded-for: 10.0.0.1, 1.2.3.4\r\n']) {
        const told = (await ask(client, header)).match(/^told-.*$/gm) ?? [];
        answers.push(
          told
            .map((it) => it.trim())
            .toSorted()
            .join(' '),
        );
      }
    const listeners = tidy((await proxy.admin('/listeners')).body)
      .split('\n')
      .toSorted();
    const stats = (await proxy.admin('/stats?filter=listener.*downstream_cx_total')).body;
    await proxy.stop();
    const lines = (name: string) => readFileSync(join(folder, name), 'utf8').trim().split('\n');
    // Envoy's order of the keys is its own.
    const sorted = (line: string) => JSON.stringify(Object.entries(JSON.parse(line)).toSorted());
    return {
      answers,
      listeners,
      stats: tidy(stats)
        .split('\n')
        .filter((it) => !it.includes('admin')),
      text: lines('text.log').map(tidy).toSorted(),
      json: lines('json.log')
        .map((it) => tidy(sorted(it)))
        .toSorted(),
    };
  } finally {
    await proxy.stop();
    rmSync(folder, { recursive: true });
  }
}

test('Unix sockets and addresses of every kind are told of as by the real Envoy', {
  skip: missing('envoy'),
}, async () => {
  const [theirs, ours] = await Promise.all([play('envoy'), play('chancery')]);
  assert.deepEqual(ours, theirs);
});
