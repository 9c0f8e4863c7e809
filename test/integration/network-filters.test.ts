// The small network filters through a whole proxy.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { startProxy } from '#testing/start-proxy.ts';

const type = 'type.googleapis.com/envoy.extensions.filters.network';

function yaml(filters: string): string {
  return `admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}
static_resources:
  listeners:
  - name: l
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters: [${filters}]
`;
}

const echo = `{name: echo, typed_config: {"@type": ${type}.echo.v3.Echo}}`;

async function say(port: number, text: string, localAddress = '127.0.0.1'): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', localAddress, allowHalfOpen: true }).setEncoding(
    'latin1',
  );
  await once(socket, 'connect');
  socket.end(text);
  let answer = '';
  for await (const chunk of socket) answer += chunk;
  return answer;
}

test('echo sends everything back, and then its end', async (t) => {
  const proxy = await startProxy(t, yaml(echo));
  const text = 'x'.repeat(300_000);
  assert.equal(await say(proxy.port(), text), text);
});

test('direct_response answers and closes', async (t) => {
  const filter = `{name: d, typed_config: {"@type": ${type}.direct_response.v3.Config, response: {inline_string: "go é away"}}}`;
  const proxy = await startProxy(t, yaml(filter));
  assert.equal(Buffer.from(await say(proxy.port(), ''), 'latin1').toString(), 'go é away');
});

test('rbac closes what its rules refuse, and counts', async (t) => {
  const rules = `{action: DENY, policies: {p: {permissions: [{any: true}], principals: [{direct_remote_ip: {address_prefix: 127.0.0.2, prefix_len: 32}}]}}}`;
  const rbac = `{name: r, typed_config: {"@type": ${type}.rbac.v3.RBAC, stat_prefix: gate, rules: ${rules}}}`;
  const proxy = await startProxy(t, yaml(`${rbac}, ${echo}`));
  assert.equal(await say(proxy.port(), 'hello'), 'hello');
  assert.equal(await say(proxy.port(), 'hello', '127.0.0.2').catch(() => ''), '');
  const { body } = await proxy.admin.get('/stats?filter=^gate');
  assert.match(body, /gate\.rbac\.allowed: 1\n/);
  assert.match(body, /gate\.rbac\.denied: 1\n/);
});
