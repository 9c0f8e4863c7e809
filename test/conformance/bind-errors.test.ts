// Addresses that a listener cannot have, in the real Envoy and in ours: both refuse to start, in the same words.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { missing } from '#testing/peers.ts';
import { refusal } from './refusal.ts';

const skip = missing('envoy') || (process.platform !== 'linux' && 'needs Linux');
const ip = (address: string, port_value: number, more: object = {}) => ({
  socket_address: { address, port_value, ...more },
});
const pipe = (path: string, more: object = {}) => ({ pipe: { path, ...more } });
const option = (state: string) => ({ level: 1, name: 9999, int_value: 1, state });

const listeners: Record<string, (taken: number) => object> = {
  'a port that is taken': (taken) => ({ address: ip('127.0.0.1', taken) }),
  'a port that is taken, without reuse_port': (taken) => ({
    address: ip('127.0.0.1', taken),
    enable_reuse_port: false,
  }),
  'an additional address that is taken': (taken) => ({
    address: ip('127.0.0.1', 0),
    additional_addresses: [{ address: ip('127.0.0.1', taken) }],
  }),
  'the address of another machine': () => ({ address: ip('192.0.2.1', 0) }),
  'the IPv6 address of another machine': () => ({ address: ip('2001:db8::1', 0) }),
  'an IPv4 address as IPv6, without ipv4_compat': () => ({ address: ip('::ffff:127.0.0.1', 0) }),
  'a path in a missing folder': () => ({ address: pipe('/nowhere/x.sock') }),
  'a path that is a folder': () => ({ address: pipe('/tmp') }),
  'a path that is too long': () => ({ address: pipe(`/tmp/${'x'.repeat(103)}`) }),
  'an abstract name that is too long': () => ({ address: pipe(`@${'x'.repeat(107)}`) }),
  'a mode for an abstract name': () => ({ address: pipe('@x', { mode: 0o600 }) }),
  'an interface for an address that is not of a link': () => ({ address: ip('::1%lo', 80) }),
  'a number of an interface that is too large': () => ({ address: ip('fe80::1%4294967296', 80) }),
  'half an IP address': () => ({ address: ip('1.2.3', 80) }),
  'a named port': () => ({ address: { socket_address: { address: '127.0.0.1', named_port: 'http' } } }),
  'an option before bind that the system refuses': () => ({
    address: ip('127.0.0.1', 0),
    socket_options: [option('STATE_PREBIND')],
  }),
  'an option after bind that the system refuses': () => ({
    address: ip('127.0.0.1', 0),
    socket_options: [option('STATE_BOUND')],
  }),
};

async function takenPort(t: TestContext): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  t.after(() => server.close());
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

test('what cannot be bound is refused in the same words', { skip }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'bind-errors-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const taken = await takenPort(t);
  const typed_config = { '@type': 'type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo' };
  const filter_chains = [{ filters: [{ name: 'echo', typed_config }] }];
  for (const [name, listener] of Object.entries(listeners)) {
    const bootstrap = { static_resources: { listeners: [{ name: 'l', filter_chains, ...listener(taken) }] } };
    const [theirs, ours] = await Promise.all([
      refusal('envoy', folder, bootstrap),
      refusal('chancery', folder, bootstrap),
    ]);
    assert.deepEqual(ours, theirs, name);
    assert.equal(ours.code, 1, name);
  }
});
