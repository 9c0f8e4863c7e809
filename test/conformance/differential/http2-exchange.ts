// A random exchange in its form of HTTP/2: the first request, as far as a client of HTTP/2 can say it.
import { once } from 'node:events';
import { type ClientHttp2Stream, connect } from 'node:http2';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RandomExchange } from './random-requests.ts';

const connectionNames = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
  'te',
  'http2-settings',
]);

interface Http2Request {
  readonly headers: Record<string, string | string[]>;
  readonly bodyLength: number;
}

/** undefined: there is no such request in HTTP/2. */
export function asHttp2({ pieces, number }: RandomExchange): Http2Request | undefined {
  const bytes = pieces.join('');
  const headEnd = bytes.search(/\r?\n\r?\n/);
  if (headEnd < 0) return undefined;
  const [first, ...lines] = bytes.slice(0, headEnd).split(/\r?\n/);
  const [method, target] = first!.split(' ');
  if (!method || !target || method === 'CONNECT' || !/^[\x21-\x7e]+$/.test(target)) return undefined;
  const headers: Record<string, string | string[]> = {
    ':method': method,
    ':scheme': 'http',
    ':path': target,
    'x-exchange': String(number),
  };
  for (const line of lines) {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    if (colon <= 0 || !/^[a-z0-9-]+$/.test(name) || connectionNames.has(name)) continue;
    if (!/^[\t\x20-\x7e]*$/.test(value)) continue;
    if (name === 'host') headers[':authority'] ??= value;
    else if (name !== 'content-length') {
      const before = headers[name];
      headers[name] = before === undefined ? value : [before, value].flat();
    }
  }
  const hasBody = /\r?\n\r?\n./s.test(bytes.slice(headEnd));
  return { headers, bodyLength: hasBody ? 10 + (number % 7) * 500 : 0 };
}

export async function playHttp2(request: Http2Request, port: number) {
  const session = connect(`http://127.0.0.1:${port}`);
  const said: string[] = [];
  let connection = 'open';
  session.on('error', () => {});
  // Envoy often just closes where we say GOAWAY with an error first (docs/differences.md).
  session.on('goaway', (code: number) => {
    connection = code === 0 ? 'goaway' : 'broken';
  });
  session.on('close', () => {
    if (connection === 'open') connection = 'broken';
  });
  await once(session, 'connect');
  const key = `${session.socket.localPort}-${port}`;
  const body: Buffer[] = [];
  let stream: ClientHttp2Stream;
  try {
    stream = session.request(request.headers, { endStream: request.bodyLength === 0 });
  } catch {
    session.destroy();
    return { response: '', connection: 'not sent', key };
  }
  const tell = (what: string, raw: string[]) => {
    said.push(what);
    for (let i = 0; i < raw.length; i += 2) said.push(`${raw[i]}: ${raw[i + 1]}`);
  };
  stream.on('headers', (_headers, _flags, raw: string[]) => tell('informational', raw));
  stream.on('response', (_headers, _flags, raw: string[]) => tell('response', raw));
  stream.on('trailers', (_headers, _flags, raw: string[]) => tell('trailers', raw));
  stream.on('data', (chunk: Buffer) => body.push(chunk));
  stream.on('error', () => {});
  const closed = new Promise((resolve) => stream.on('close', resolve));
  if (request.bodyLength > 0) stream.end('x'.repeat(request.bodyLength));
  await Promise.race([closed, sleep(2500, undefined, { ref: false })]);
  await sleep(20);
  said.push('', Buffer.concat(body).toString('latin1'));
  if (connection !== 'broken') said.push(`stream ${stream.closed ? stream.rstCode : 'open'}`);
  session.destroy();
  return { response: said.join('\n'), connection, key };
}
