import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CodecError, ServerCodecOwner, StreamDecoder, StreamEncoder } from './codec.ts';
import { defaultHttp1Options, type Http1Options } from './h1-options.ts';
import { H1ServerCodec } from './h1-server-codec.ts';
import { HeaderMap } from './header-map.ts';

/** What a connection saw: one line per event, data in one line however it was sliced. Answers are written by hand or by `reply`. */
class Recorder implements ServerCodecOwner {
  readonly events: string[] = [];
  readonly encoders: StreamEncoder[] = [];
  written = '';
  answersAtOnce = false;
  readonly codec: H1ServerCodec;

  constructor(options: Partial<Http1Options> = {}) {
    const sink = {
      write: (bytes: Buffer) => {
        this.written += bytes.toString('latin1');
      },
      writeText: (text: string) => {
        this.written += text;
      },
      flushLater: () => assert.fail('HTTP/1 writes at once'),
      pendingBytes: 0,
    };
    this.codec = new H1ServerCodec(this, sink, { ...defaultHttp1Options, ...options });
  }

  newStream(encoder: StreamEncoder): StreamDecoder {
    this.encoders.push(encoder);
    const { events } = this;
    const end = (endStream: boolean) => {
      if (!endStream) return;
      events.push('end');
      if (this.answersAtOnce) this.reply(200);
    };
    return {
      decodeHeaders: (headers, endStream) => {
        const { method, scheme, authority, path, list } = headers;
        const fields = list.map((text, i) => (i % 2 ? `${text}\n` : `${text}: `)).join('');
        events.push(`${method} ${scheme && `${scheme}:`}//${authority} ${path}\n${fields}`.trimEnd());
        end(endStream);
      },
      decode1xx: () => assert.fail('a request has no 1xx'),
      decodeData: (data, endStream) => {
        if (data.length > 0) {
          const last = events.at(-1)!;
          if (last.startsWith('data ')) events[events.length - 1] = last + data.toString('latin1');
          else events.push(`data ${data.toString('latin1')}`);
        }
        end(endStream);
      },
      decodeTrailers: (trailers) => {
        events.push(`trailers ${trailers.list.join(' ')}`);
        end(true);
      },
      onReset: (reason, details) => events.push(`reset ${reason} ${details}`),
      onAboveWriteBufferHighWatermark: () => events.push('above'),
      onBelowWriteBufferLowWatermark: () => events.push('below'),
    };
  }

  onCodecError(error: CodecError): void {
    this.events.push(`error ${error.status} ${error.details}`);
  }

  onReadDisable(disable: boolean): void {
    this.events.push(disable ? 'pause' : 'resume');
  }

  send(text: string): this {
    this.codec.onData(Buffer.from(text, 'latin1'));
    return this;
  }

  reply(status: number, fields: string[] = [], body = ''): void {
    const headers = new HeaderMap();
    headers.status = status;
    headers.list.push(...fields);
    if (body !== '') headers.add('content-length', String(body.length));
    const encoder = this.encoders.at(-1)!;
    encoder.encodeHeaders(headers, body === '');
    if (body !== '') encoder.encodeData(Buffer.from(body), true);
  }
}

const requests: { name: string; bytes: string; events: string[]; options?: Partial<Http1Options> }[] = [
  {
    name: 'a plain request',
    bytes: 'GET /a?b=c HTTP/1.1\r\nHost: example.com\r\nX-Custom: One\r\naccept: */*\r\n\r\n',
    events: ['GET //example.com /a?b=c\nx-custom: One\naccept: */*', 'end'],
  },
  {
    name: 'a body with a length',
    bytes: 'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello',
    events: ['POST //a /\ncontent-length: 5', 'data hello', 'end'],
  },
  {
    name: 'a chunked body',
    bytes:
      'POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6;x="y"\r\n world\r\n0\r\n\r\n',
    events: ['POST //a /\ntransfer-encoding: chunked', 'data hello world', 'end'],
  },
];

for (const { name, bytes, events, options } of requests) {
  test(`reads ${name}, wherever it is split`, () => {
    for (let at = 0; at <= bytes.length; at++) {
      const recorder = new Recorder(options);
      recorder.send(bytes.slice(0, at)).send(bytes.slice(at));
      assert.deepEqual(recorder.events, events, `split at ${at}`);
    }
  });
}

test('pipelined requests wait for the response before them', async () => {
  const recorder = new Recorder();
  recorder.send('GET /1 HTTP/1.1\r\nhost: a\r\n\r\nGET /2 HTTP/1.1\r\nhost: a\r\n\r\n');
  assert.deepEqual(recorder.events, ['GET //a /1', 'end', 'pause']);
  recorder.reply(200, [], 'one');
  await Promise.resolve();
  assert.deepEqual(recorder.events.slice(3), ['resume', 'GET //a /2', 'end']);
  recorder.reply(404);
  assert.equal(
    recorder.written,
    'HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\noneHTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n',
  );
});
