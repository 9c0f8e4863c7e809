// WebSocket through the proxy, with the `ws` package on both sides.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { WebSocket, WebSocketServer } from 'ws';
import { forwardingYaml, portsFor, proxyMissing, startBlackBox } from './black-box.ts';

test('WebSocket: text, large binary messages, pings and closes pass both ways', {
  skip: proxyMissing,
  timeout: 60_000,
}, async (t) => {
  const { yaml, port } = await portsFor(
    forwardingYaml({ manager: 'upgrade_configs: [{ upgrade_type: websocket }]' }),
  );
  const server = new WebSocketServer({ host: '127.0.0.1', port: port(21201), maxPayload: 1 << 24 });
  await once(server, 'listening');
  t.after(() => server.close());
  server.on('connection', (socket) => {
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
  });
  await startBlackBox(t, yaml, { admin: port(21001), listener: port(21000) });

  const client = new WebSocket(`ws://127.0.0.1:${port(21000)}/chat`);
  await once(client, 'open');
  const echo = async (message: string | Buffer) => {
    client.send(message);
    const [data] = (await once(client, 'message')) as [Buffer];
    return data;
  };
  assert.equal(String(await echo('hello')), 'hello');
  assert.equal(String(await echo('')), '');
  const large = Buffer.alloc(4 << 20, 'x');
  assert.ok((await echo(large)).equals(large));
  client.ping('are you there');
  const [pong] = (await once(client, 'pong')) as [Buffer];
  assert.equal(String(pong), 'are you there');

  client.close(4001, 'enough');
  const [code, reason] = (await once(client, 'close')) as [number, Buffer];
  assert.deepEqual([code, String(reason)], [4001, 'enough']);
});

test('WebSocket: the end of the upstream ends the client', {
  skip: proxyMissing,
  timeout: 60_000,
}, async (t) => {
  const { yaml, port } = await portsFor(
    forwardingYaml({ manager: 'upgrade_configs: [{ upgrade_type: websocket }]' }),
  );
  const server = new WebSocketServer({ host: '127.0.0.1', port: port(21201) });
  await once(server, 'listening');
  t.after(() => server.close());
  await startBlackBox(t, yaml, { admin: port(21001), listener: port(21000) });
  const client = new WebSocket(`ws://127.0.0.1:${port(21000)}/`);
  const [connection] = (await once(server, 'connection')) as [WebSocket];
  await once(client, 'open');
  connection.terminate();
  client.on('error', () => {});
  const [code] = (await once(client, 'close')) as [number];
  assert.equal(code, 1006);
});
