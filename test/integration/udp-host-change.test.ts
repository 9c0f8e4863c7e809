// A host leaves a cluster while a session of udp_proxy goes to it: the session ends, and what its peer sends next goes elsewhere. (The
// real Envoy looks at its hosts file only once a minute, so it is not asked here.)
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePorts } from '#testing/free-ports.ts';
import { startProxyFor } from '#testing/proxy-process.ts';

test('ends the sessions of a host that has left', async (t) => {
  const [upstreamPort, listenerPort, adminPort] = (await freePorts(3)) as [number, number, number];
  for (const [name, ip] of [
    ['a', '127.0.0.1'],
    ['b', '127.0.0.2'],
  ] as const) {
    const upstream = createSocket('udp4').bind(upstreamPort, ip);
    t.after(() => upstream.close());
    await once(upstream, 'listening');
    upstream.on('message', (bytes, from) => upstream.send(`${name}:${bytes}`, from.port, from.address));
  }
  const address = (port: number, host = '127.0.0.1', protocol = 'TCP') => ({
    socket_address: { address: host, port_value: port, protocol },
  });
  const proxy = await startProxyFor(t, {
    kind: 'chancery',
    hosts: '127.0.0.1 moving.test',
    adminPort,
    arguments: ['--concurrency', '1'],
    yaml: JSON.stringify({
      admin: { address: address(adminPort) },
      static_resources: {
        listeners: [
          {
            name: 'udp',
            address: address(listenerPort, '127.0.0.1', 'UDP'),
            listener_filters: [
              {
                name: 'udp',
                typed_config: {
                  '@type': 'type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig',
                  stat_prefix: 'p',
                  cluster: 'c',
                  access_log: [
                    {
                      name: 'file',
                      typed_config: {
                        '@type': 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog',
                        path: 'access.log',
                        log_format: {
                          text_format_source: {
                            inline_string:
                              '%ACCESS_LOG_TYPE% %UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %BYTES_RECEIVED% %BYTES_SENT%\n',
                          },
                        },
                      },
                    },
                  ],
                },
              },
            ],
          },
        ],
        clusters: [
          {
            name: 'c',
            type: 'STRICT_DNS',
            dns_refresh_rate: '0.05s',
            load_assignment: {
              cluster_name: 'c',
              endpoints: [
                { lb_endpoints: [{ endpoint: { address: address(upstreamPort, 'moving.test') } }] },
              ],
            },
          },
        ],
      },
    }),
  });
  const client = createSocket('udp4');
  t.after(() => client.close());
  const ask = async (text: string) => {
    const answer = once(client, 'message', { signal: AbortSignal.timeout(20_000) });
    client.send(text, listenerPort, '127.0.0.1');
    return String((await answer)[0]);
  };
  const stat = async (name: string) => {
    const { body } = await proxy.admin('/stats');
    return Number(new RegExp(`^udp\\.p\\.${name}: (\\d+)`, 'm').exec(body)?.[1]);
  };
  const seen = [await ask('1')];
  writeFileSync(join(proxy.folder, 'hosts'), '127.0.0.1 localhost\n127.0.0.2 moving.test');
  while ((await stat('downstream_sess_active')) !== 0) await sleep(10);
  seen.push(await ask('2'));
  const counts = `active: ${await stat('downstream_sess_active')}, total: ${await stat('downstream_sess_total')}, timeouts: ${await stat('idle_timeout')}`;
  await proxy.stop();
  const log = readFileSync(join(proxy.folder, 'access.log'), 'utf8').trimEnd().split('\n');
  assert.deepEqual(
    [...seen, log[0], counts, ...log.slice(1)],
    [
      'a:1',
      'b:2',
      'UdpSessionEnd 127.0.0.1 1 3',
      'active: 1, total: 2, timeouts: 0',
      'UdpSessionEnd 127.0.0.2 1 3',
    ],
  );
});
