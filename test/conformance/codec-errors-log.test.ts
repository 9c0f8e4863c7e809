// What the listener's access log says of connections whose client broke HTTP, in the real Envoy and in ours.
import { connect } from 'node:net';
import { test } from 'node:test';
import { missing } from '#testing/peers.ts';
import { expectSame } from './side-by-side.ts';
import { accessLog, address, connectionManager } from './side-by-side-configuration.ts';

const operators = [
  'RESPONSE_FLAGS',
  'PROTOCOL',
  'RESPONSE_CODE',
  'RESPONSE_CODE_DETAILS',
  'CONNECTION_TERMINATION_DETAILS',
  'DOWNSTREAM_LOCAL_CLOSE_REASON',
  'BYTES_RECEIVED',
];

const format = operators.map((it) => `%${it}%`).join('|');

const frame = (kind: number, flags: number, stream: number, payload = '') =>
  Buffer.from([0, 0, payload.length, kind, flags, 0, 0, 0, stream]).toString('latin1') + payload;
const preface = `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${frame(4, 0, 0)}`;
const good = 'GET / HTTP/1.1\r\nhost: a\r\n\r\n';
/** `:method: GET`, `:scheme: http`, `:path: /`, `:authority: a`. */
const goodHeaders = '\x82\x86\x84\x41\x01a';

const messages: Readonly<Record<string, string>> = {
  'no HTTP': 'nonsense\r\n\r\n',
  'a method that is none': 'NOPE? / HTTP/1.1\r\nhost: a\r\n\r\n',
  'a version that is none': 'GET / HTTP/9.9\r\nhost: a\r\n\r\n',
  'a header without colon': 'GET / HTTP/1.1\r\nhost: a\r\nbroken\r\n\r\n',
  'a second request that is none': `${good}nonsense\r\n\r\n`,
  'a body that breaks': `POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n`,
  'headers that are too large': `GET / HTTP/1.1\r\nhost: a\r\nx: ${'x'.repeat(70_000)}\r\n\r\n`,
  'two lengths': 'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n',
  'an old version': 'GET / HTTP/1.0\r\n\r\n',
  'a good request, then an old one': `${good}GET / HTTP/1.0\r\n\r\n`,
  'a missing host': 'GET / HTTP/1.1\r\n\r\n',
  'HTTP/2 with a bad frame': `${preface}${frame(0, 0, 0, 'x')}`,
  'HTTP/2 with a bad request': `${preface}${frame(1, 5, 1, '\x82')}`,
  'HTTP/2 with a request and a bad frame': `${preface}${frame(1, 5, 1, goodHeaders)}${frame(4, 0, 1)}`,
  'HTTP/2 with a bad table': `${preface}${frame(1, 5, 1, '\xff\xff\xff\xff\xff')}`,
};

/** A good request, and once it is answered what is none. */
const afterwards = ['nonsense\r\n\r\n', 'GET / HTTP/1.1\r\nhost: a\r\n:\r\n\r\n'];

function talk(port: number, bytes: string, later?: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    let answer = '';
    socket.on('data', (it) => {
      if (answer === '' && later !== undefined) socket.write(later);
      answer += it.toString('latin1');
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(/^HTTP\S+ (\d+)/.exec(answer)?.[1] ?? ''));
    socket.write(bytes, 'latin1');
  });
}

test('the log of a listener says that its client broke HTTP', {
  skip: missing('envoy'),
  timeout: 60_000,
}, async (t) => {
  const listeners = Object.keys(messages).map((name, i) => ({
    name,
    address: address(21100 + i),
    access_log: accessLog(`${i}.log`, format),
    filter_chains: [
      {
        filters: [
          connectionManager({
            route_config: {
              virtual_hosts: [
                {
                  name: 'v',
                  domains: ['*'],
                  routes: [{ match: { prefix: '/' }, direct_response: { status: 200 } }],
                },
              ],
            },
            delayed_close_timeout: '0.1s',
            http_protocol_options: { accept_http_10: true, default_host_for_http_10: 'a' },
            access_log: accessLog(`${i}.requests.log`, format),
          }),
        ],
      },
    ],
  }));
  const yaml = JSON.stringify({ admin: { address: address(21001) }, static_resources: { listeners } });
  await expectSame(t, yaml, async ({ port, lines, stop }) => {
    const answers: string[] = [];
    for (const [i, bytes] of Object.values(messages).entries())
      answers.push(await talk(port(21100 + i), bytes));
    for (const later of afterwards) await talk(port(21100), good, later);
    await stop();
    return Object.keys(messages).map((name, i) => ({
      name,
      answer: answers[i],
      connections: lines(`${i}.log`),
      // How HTTP/2 was broken is said in the words of a library.
      requests: name.startsWith('HTTP/2') ? [] : lines(`${i}.requests.log`),
    }));
  });
});
