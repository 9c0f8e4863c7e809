// Connections that iptables redirects, in the real Envoy and in ours: both find out where they were meant to go. Runs in a network
// namespace of its own, where root may make rules; the test starts itself there.
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { missing } from '#testing/peers.ts';
import { type ProxyKind, startProxyProcess } from '#testing/proxy-process.ts';

const rules = [
  'ip link set lo up',
  'ip -6 addr add fd00::7/128 dev lo nodad',
  'iptables -t nat -A OUTPUT -p tcp --dport 8080 -j REDIRECT --to-ports 15001',
  'ip6tables -t nat -A OUTPUT -p tcp --dport 8080 -j REDIRECT --to-ports 15002',
];

function cannotRedirect(): string | false {
  try {
    execFileSync('unshare', ['--net', 'sh', '-c', rules.join(' && ')], { stdio: 'ignore', timeout: 10_000 });
    return false;
  } catch {
    return 'needs iptables, and the right to make rules in a network namespace';
  }
}

const type = (name: string) => `type.googleapis.com/envoy.extensions.${name}`;
const address = (ip: string, port: number) => ({ socket_address: { address: ip, port_value: port } });

function yaml(folder: string): string {
  const access_log = (name: string) => [
    {
      name: 'file',
      typed_config: {
        '@type': type('access_loggers.file.v3.FileAccessLog'),
        path: join(folder, 'log'),
        log_format: {
          text_format_source: {
            inline_string: `${name} %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_DIRECT_LOCAL_ADDRESS% %UPSTREAM_HOST% %RESPONSE_FLAGS%\n`,
          },
        },
      },
    },
  ];
  const proxied = (ip: string, port: number, name: string) => ({
    name,
    address: address(ip, port),
    use_original_dst: true,
    filter_chains: [
      {
        filters: [
          {
            name: 'tcp',
            typed_config: {
              '@type': type('filters.network.tcp_proxy.v3.TcpProxy'),
              stat_prefix: 'tcp',
              cluster: 'original',
              access_log: access_log(name),
            },
          },
        ],
      },
    ],
  });
  return JSON.stringify({
    admin: { address: address('127.0.0.1', 15000) },
    static_resources: {
      listeners: [
        proxied('0.0.0.0', 15001, 'v4'),
        proxied('::', 15002, 'v6'),
        {
          name: 'virtual',
          address: address('127.0.0.8', 8080),
          bind_to_port: false,
          access_log: access_log('virtual'),
          filter_chains: [
            {
              filters: [
                {
                  name: 'say',
                  typed_config: {
                    '@type': type('filters.network.direct_response.v3.Config'),
                    response: { inline_string: 'virtual' },
                  },
                },
              ],
            },
          ],
        },
      ],
      clusters: [
        {
          name: 'original',
          type: 'ORIGINAL_DST',
          lb_policy: 'CLUSTER_PROVIDED',
          // Back to 8080, it would be redirected again.
          original_dst_lb_config: { upstream_port_override: 9999 },
        },
      ],
    },
  });
}

async function answer(host: string, port: number): Promise<string> {
  let text = '';
  const socket = connect({ host, port });
  socket.on('data', (bytes: Buffer) => {
    text += bytes;
  });
  socket.on('error', () => {});
  socket.write('x');
  await new Promise((resolve) => socket.on('close', resolve));
  return text;
}

/** Inside the namespace: ports are free. */
async function play(kind: ProxyKind): Promise<object> {
  const folder = mkdtempSync(join(tmpdir(), `redirect-${kind}-`));
  const upstream = createServer((socket) => {
    socket.on('error', () => {});
    socket.end(`for ${socket.localAddress}`);
  }).listen(9999, '::');
  await once(upstream, 'listening');
  const proxy = await startProxyProcess({
    kind,
    folder,
    yaml: yaml(folder),
    adminPort: 15000,
    arguments: [
      '--concurrency',
      '2',
      '--use-dynamic-base-id',
      '-l',
      'error',
      '--file-flush-interval-msec',
      '20',
    ],
  });
  try {
    const answers = [
      await answer('127.0.0.7', 8080),
      await answer('127.0.0.8', 8080),
      await answer('127.0.0.9', 8080),
      await answer('fd00::7', 8080),
      // Nobody redirects these.
      await answer('127.0.0.1', 15001),
      await answer('::1', 15002),
    ];
    await proxy.stop();
    return { answers, log: readFileSync(join(folder, 'log'), 'utf8').trim().split('\n').toSorted() };
  } finally {
    await proxy.stop();
    upstream.close();
    rmSync(folder, { recursive: true });
  }
}

const kind = process.env.REDIRECTED_PROXY as ProxyKind | undefined;
if (kind !== undefined) {
  console.log(JSON.stringify(await play(kind)));
  process.exit(0);
}

function playInNamespace(which: ProxyKind): Promise<unknown> {
  const command = `${rules.join(' && ')} && exec "$0" "$1"`;
  return new Promise((resolve, reject) =>
    execFile(
      'unshare',
      ['--net', 'sh', '-c', command, process.execPath, import.meta.filename],
      { timeout: 60_000, env: { ...process.env, REDIRECTED_PROXY: which, NODE_TEST_CONTEXT: '' } },
      (error, out, err) =>
        error === null ? resolve(JSON.parse(out)) : reject(new Error(`${error.message}${err}`)),
    ),
  );
}

test('finds out where redirected connections were meant to go', {
  skip: missing('envoy') || cannotRedirect(),
}, async () => {
  const theirs = await playInNamespace('envoy');
  const ours = await playInNamespace('chancery');
  assert.deepEqual(ours, theirs);
  const { answers } = ours as { answers: string[] };
  assert.deepEqual(answers.slice(0, 4), [
    'for ::ffff:127.0.0.7',
    'virtual',
    'for ::ffff:127.0.0.9',
    'for fd00::7',
  ]);
});
