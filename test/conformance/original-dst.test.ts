// ORIGINAL_DST clusters in the real Envoy and in ours: where requests and connections go by header, by PROXY header and by
// metadata, what is said of them, and that hosts leave when nobody wants them any more.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { freePorts } from '#testing/free-ports.ts';
import { missing } from '#testing/peers.ts';
import { type ProxyKind, startProxyProcess } from '#testing/proxy-process.ts';
import { quickLogs } from './black-box.ts';

const type = (name: string) => `type.googleapis.com/envoy.extensions.${name}`;
const address = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } });
const cluster = (name: string, original_dst_lb_config: object) => ({
  name,
  type: 'ORIGINAL_DST',
  lb_policy: 'CLUSTER_PROVIDED',
  connect_timeout: '1s',
  cleanup_interval: '2s',
  original_dst_lb_config,
});

function yaml(folder: string, [admin, http, tcp]: readonly number[], upstream: number): string {
  const log = (name: string) => [
    {
      name: 'file',
      typed_config: {
        '@type': type('access_loggers.file.v3.FileAccessLog'),
        path: join(folder, name),
        log_format: {
          text_format_source: {
            inline_string:
              '%UPSTREAM_CLUSTER% %UPSTREAM_HOST% %UPSTREAM_HOST_NAME% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_DIRECT_LOCAL_ADDRESS%\n',
          },
        },
      },
    },
  ];
  const route = (path: string, name: string) => ({ match: { prefix: path }, route: { cluster: name } });
  const proxyProtocol = {
    name: 'proxy',
    typed_config: {
      '@type': type('filters.listener.proxy_protocol.v3.ProxyProtocol'),
      allow_requests_without_proxy_protocol: true,
    },
  };
  return JSON.stringify({
    admin: { address: address(admin!) },
    static_resources: {
      listeners: [
        {
          name: 'http',
          address: address(http!),
          listener_filters: [proxyProtocol],
          filter_chains: [
            {
              filters: [
                {
                  name: 'hcm',
                  typed_config: {
                    '@type': type('filters.network.http_connection_manager.v3.HttpConnectionManager'),
                    stat_prefix: 'http',
                    delayed_close_timeout: '0s',
                    access_log: log('http.log'),
                    route_config: {
                      virtual_hosts: [
                        {
                          name: 'all',
                          domains: ['*'],
                          routes: [
                            route('/header', 'header'),
                            route('/own', 'own'),
                            route('/plain', 'plain'),
                            route('/port', 'port'),
                          ],
                        },
                      ],
                    },
                    http_filters: [
                      {
                        name: 'router',
                        typed_config: { '@type': type('filters.http.router.v3.Router') },
                      },
                    ],
                  },
                },
              ],
            },
          ],
        },
        {
          name: 'tcp',
          address: address(tcp!),
          listener_filters: [proxyProtocol],
          filter_chains: [
            {
              filters: [
                {
                  name: 'tcp',
                  typed_config: {
                    '@type': type('filters.network.tcp_proxy.v3.TcpProxy'),
                    stat_prefix: 'tcp',
                    cluster: 'plain',
                    access_log: log('tcp.log'),
                  },
                },
              ],
            },
          ],
        },
      ],
      clusters: [
        cluster('header', { use_http_header: true }),
        cluster('own', { use_http_header: true, http_header_name: 'X-Own' }),
        cluster('plain', {}),
        cluster('port', { use_http_header: true, upstream_port_override: upstream }),
      ],
    },
  });
}

interface Request {
  readonly path: string;
  readonly headers?: readonly string[];
  /** Where a PROXY header says the client wanted to go. */
  readonly to?: string;
}

const requests = (upstream: number, other: number): readonly Request[] => [
  { path: '/header', headers: [`x-envoy-original-dst-host: 127.0.0.1:${upstream}`] },
  { path: '/header', headers: [`x-envoy-original-dst-host: 127.0.0.1:${other}`] },
  {
    path: '/header',
    headers: [
      `x-envoy-original-dst-host: 127.0.0.1:${upstream}`,
      `x-envoy-original-dst-host: 127.0.0.1:${other}`,
    ],
  },
  { path: '/header', headers: ['x-envoy-original-dst-host: localhost:80'] },
  { path: '/header', headers: ['x-envoy-original-dst-host: 127.0.0.1'] },
  { path: '/header', headers: ['x-envoy-original-dst-host: [::1:80'] },
  { path: '/header', headers: ['x-envoy-original-dst-host: 127.0.0.1:99999'] },
  { path: '/header', headers: ['x-envoy-original-dst-host: nonsense'], to: `127.0.0.1 ${upstream}` },
  { path: '/header' },
  { path: '/own', headers: [`x-own: 127.0.0.1:${upstream}`, `x-envoy-original-dst-host: 127.0.0.1:1`] },
  { path: '/plain', headers: [`x-envoy-original-dst-host: 127.0.0.1:${upstream}`] },
  { path: '/plain', to: `127.0.0.1 ${upstream}` },
  { path: '/port', headers: ['x-envoy-original-dst-host: 127.0.0.1:9'] },
  { path: '/port', to: '127.0.0.1 9' },
];

function exchange(port: number, text: string): Promise<string> {
  return new Promise((resolve) => {
    let answer = '';
    const socket = connect(port, '127.0.0.1', () => socket.write(text));
    socket.on('data', (bytes: Buffer) => {
      answer += bytes.toString('latin1');
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(answer));
    socket.setTimeout(3000, () => {
      answer += ' (still open)';
      socket.destroy();
    });
  });
}

const proxyLine = (to: string | undefined, own: number) => {
  const [ip, port] = to?.split(' ') ?? [];
  return to === undefined ? '' : `PROXY TCP4 10.0.0.1 ${ip} ${own} ${port}\r\n`;
};

async function play(kind: ProxyKind, upstream: number, other: number) {
  const folder = mkdtempSync(join(tmpdir(), `original-dst-${kind}-`));
  const ports = await freePorts(3);
  const proxy = await startProxyProcess({
    kind,
    folder,
    yaml: yaml(folder, ports, upstream),
    adminPort: ports[0]!,
    arguments: quickLogs,
  });
  // What differs between the two is written alike.
  const tidy = (text: string) =>
    text
      .replaceAll(`:${upstream}`, ':UP')
      .replaceAll(`:${other}`, ':OTHER')
      .replaceAll(`:${ports[1]}`, ':HTTP')
      .replaceAll(`:${ports[2]}`, ':TCP');
  try {
    const answers: string[] = [];
    for (const { path, headers = [], to } of requests(upstream, other)) {
      const head = [`GET ${path} HTTP/1.1`, 'host: a', 'connection: close', ...headers].join('\r\n');
      const text = await exchange(ports[1]!, `${proxyLine(to, 1000)}${head}\r\n\r\n`);
      answers.push(`${text.split('\r\n')[0]} ${text.split('\r\n\r\n')[1]}`);
    }
    answers.push(await exchange(ports[2]!, `${proxyLine(`127.0.0.1 ${other}`, 1000)}hello`));
    answers.push(await exchange(ports[2]!, 'hello'));
    const clusters = await proxy.admin('/clusters');
    const hosts = clusters.body.split('\n').filter((it) => /::(?:rq_total|hostname|health_flags)::/.test(it));
    const stats = (await proxy.admin('/stats?usedonly')).body
      .split('\n')
      .filter((it) => /original_dst_host_invalid|membership|none_healthy|lb_healthy_panic/.test(it));
    // Nothing is open, so every host leaves.
    const deadline = Date.now() + 5000;
    let left = '';
    do {
      left = (await proxy.admin('/stats?filter=membership_total')).body;
    } while (/: [1-9]/.test(left) && Date.now() < deadline);
    await proxy.stop();
    const logs = ['http.log', 'tcp.log'].map((it) =>
      tidy(readFileSync(join(folder, it), 'utf8')).split('\n'),
    );
    return { answers: answers.map(tidy), hosts: hosts.map(tidy).sort(), stats, left, logs };
  } finally {
    await proxy.stop();
    rmSync(folder, { recursive: true });
  }
}

async function upstreams(t: TestContext): Promise<readonly [number, number]> {
  const http = createHttpServer((_request, response) => response.end('http'));
  const tcp = createServer((socket) => {
    socket.once('data', () => socket.end('other'));
  });
  for (const it of [http, tcp]) {
    t.after(() => it.close());
    await once(it.listen(0, '127.0.0.1'), 'listening');
  }
  return [(http.address() as AddressInfo).port, (tcp.address() as AddressInfo).port];
}

test('connections go where they were meant to go, as in the real Envoy', {
  skip: missing('envoy'),
}, async (t) => {
  const [upstream, other] = await upstreams(t);
  const [theirs, ours] = await Promise.all([
    play('envoy', upstream, other),
    play('chancery', upstream, other),
  ]);
  assert.deepEqual(ours, theirs);
});
