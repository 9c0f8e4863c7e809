// Datagrams of 100,000 peers and of random bytes through udp_proxy and dns_filter, as processes: what they open, keep and answer is bounded.
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { freePorts } from '#testing/free-ports.ts';
import { mulberry32 } from '#testing/mulberry32.ts';
import { residentKilobytes } from '#testing/process-usage.ts';
import { startProxyFor } from '#testing/proxy-process.ts';

const peers = 100_000;
const sessions = 100;
const seed = Number(process.env.SEED ?? 1);

test(`bounds what a flood of ${peers} peers opens (SEED=${seed})`, { timeout: 120_000 }, async (t) => {
  const upstream = createSocket('udp4').bind(0, '127.0.0.1');
  t.after(() => upstream.close());
  await once(upstream, 'listening');
  upstream.on('message', (bytes, from) => upstream.send(bytes, from.port, from.address));
  const [udp, dns, adminPort] = (await freePorts(3)) as [number, number, number];
  const proxy = await startProxyFor(t, {
    kind: 'chancery',
    yaml: bootstrap(udp, dns, adminPort, upstream.address().port),
    adminPort,
    arguments: ['--concurrency', '1'],
  });
  const stats = async () => (await proxy.admin('/stats')).body;
  const descriptors = () => readdirSync(`/proc/${proxy.pid}/fd`).length;

  const client = createSocket('udp4');
  t.after(() => client.close());
  client.connect(udp, '127.0.0.1');
  await once(client, 'connect');
  /** Again and again: the system drops what comes while the flood fills the socket. */
  const ask = async (text: string) => {
    const answer = once(client, 'message', { signal: AbortSignal.timeout(60_000) });
    const again = setInterval(() => client.send(text), 100);
    return String((await answer.finally(() => clearInterval(again)))[0]);
  };
  await ask('before');
  const [memoryBefore, descriptorsBefore] = [residentKilobytes(proxy.pid), descriptors()];

  const next = mulberry32(seed);
  const random = () => Buffer.from(Array.from({ length: next() % 40 }, () => next() & 255));
  for (let i = 0; i < peers; ) await Promise.all(Array.from({ length: 50 }, () => send(i++, random())));

  // The one that was there first is still served.
  await ask('after');
  assert.ok(residentKilobytes(proxy.pid) - memoryBefore < 100_000);
  assert.ok(descriptors() - descriptorsBefore <= sessions + 5);
  const text = await stats();
  assert.match(text, new RegExp(`^udp\\.flood\\.downstream_sess_active: ${sessions}$`, 'm'));
  // Each was refused and counted, unless the system had dropped it before.
  assert.ok(Number(/cluster\.up\.upstream_cx_overflow: (\d+)/.exec(text)![1]) > sessions);
  const asked = Number(/dns_filter\.flood\.downstream_rx_queries: (\d+)/.exec(text)![1]);
  assert.ok(asked > sessions);
  assert.match(text, new RegExp(`^dns_filter\\.flood\\.downstream_tx_responses: ${asked}$`, 'm'));

  /** From an address of its own; every fourth to dns_filter. */
  function send(i: number, bytes: Buffer): Promise<void> {
    const peer = createSocket('udp4');
    return new Promise((resolve) => {
      peer.on('error', () => {
        peer.close();
        resolve();
      });
      peer.bind(
        { port: 0, address: `127.${1 + (i >> 14)}.${(i >> 7) & 127}.${1 + (i & 127)}`, exclusive: true },
        () =>
          peer.send(bytes, i % 4 === 0 ? dns : udp, '127.0.0.1', () => {
            peer.close();
            resolve();
          }),
      );
    });
  }
});

function bootstrap(udp: number, dns: number, admin: number, upstream: number): string {
  const address = (port: number, protocol = 'TCP') => ({
    socket_address: { address: '127.0.0.1', port_value: port, protocol },
  });
  const type = (name: string) => `type.googleapis.com/envoy.extensions.filters.udp.${name}`;
  const listener = (name: string, port: number, config: object) => ({
    name,
    address: address(port, 'UDP'),
    listener_filters: [{ name, typed_config: { stat_prefix: 'flood', ...config } }],
  });
  return JSON.stringify({
    admin: { address: address(admin) },
    static_resources: {
      listeners: [
        listener('udp', udp, { '@type': type('udp_proxy.v3.UdpProxyConfig'), cluster: 'up' }),
        listener('dns', dns, {
          '@type': type('dns_filter.v3.DnsFilterConfig'),
          server_config: { inline_dns_table: { virtual_domains: [] } },
        }),
      ],
      clusters: [
        {
          name: 'up',
          circuit_breakers: { thresholds: [{ max_connections: sessions }] },
          load_assignment: {
            cluster_name: 'up',
            endpoints: [{ lb_endpoints: [{ endpoint: { address: address(upstream) } }] }],
          },
        },
      ],
    },
  });
}
