import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ClientCodecOwner, CodecError, StreamDecoder, StreamEncoder } from './codec.ts';
import { H1ClientCodec } from './h1-client-codec.ts';
import { defaultHttp1Options, type Http1Options } from './h1-options.ts';
import { HeaderMap } from './header-map.ts';

/** One upstream connection with one request under way; events as one line each, data however sliced in one line. */
class Recorder implements ClientCodecOwner {
  readonly events: string[] = [];
  written = '';
  readonly codec: H1ClientCodec;

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
    this.codec = new H1ClientCodec(this, sink, { ...defaultHttp1Options, ...options });
  }

  /** Sends a request that is complete, unless `endStream` says otherwise. */
  request(method: string, fields: string[] = [], endStream = true): StreamEncoder {
    const { events } = this;
    const decoder: StreamDecoder = {
      decodeHeaders: (headers, end) => {
        events.push(`${headers.status} ${headers.list.join(' ')}`.trimEnd());
        if (end) events.push('end');
      },
      decode1xx: (headers) => events.push(`interim ${headers.status} ${headers.list.join(' ')}`.trimEnd()),
      decodeData: (data, end) => {
        if (data.length > 0) {
          if (events.at(-1)!.startsWith('data ')) events[events.length - 1] += data.toString('latin1');
          else events.push(`data ${data.toString('latin1')}`);
        }
        if (end) events.push('end');
      },
      decodeTrailers: (trailers) => events.push(`trailers ${trailers.list.join(' ')}`, 'end'),
      onReset: (reason, details) => events.push(`reset ${reason} ${details}`.trimEnd()),
      onAboveWriteBufferHighWatermark: () => events.push('above'),
      onBelowWriteBufferLowWatermark: () => events.push('below'),
    };
    const headers = new HeaderMap();
    headers.method = method;
    headers.scheme = 'http';
    headers.authority = 'a.com';
    headers.path = '/p';
    headers.list.push(...fields);
    const encoder = this.codec.newStream(decoder);
    encoder.encodeHeaders(headers, endStream);
    return encoder;
  }

  onStreamEnd(reusable: boolean): void {
    this.events.push(reusable ? 'reusable' : 'not reusable');
  }

  onGoAway(): void {
    this.events.push('go away');
  }

  onMaxStreams(): void {}

  onCodecError(error: CodecError): void {
    this.events.push(`error ${error.message}`);
  }

  onReadDisable(disable: boolean): void {
    this.events.push(disable ? 'pause' : 'resume');
  }

  receive(text: string): this {
    this.codec.onData(Buffer.from(text, 'latin1'));
    return this;
  }
}

const responses: {
  name: string;
  bytes: string;
  events: string[];
  method?: string;
  fin?: true;
  options?: Partial<Http1Options>;
}[] = [
  {
    name: 'a body with a length',
    bytes: 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\nX-A: b\r\n\r\nok',
    events: ['200 content-length 2 x-a b', 'data ok', 'end', 'reusable'],
  },
  {
    name: 'a chunked body',
    bytes: 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
    events: ['200 transfer-encoding chunked', 'data ok', 'end', 'reusable'],
  },
  {
    name: 'a body that ends with the connection',
    bytes: 'HTTP/1.1 200 OK\r\n\r\nok',
    fin: true,
    events: ['200', 'data ok', 'end', 'not reusable'],
  },
  {
    name: 'informational responses',
    bytes: 'HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n',
    events: ['interim 103 link x', '204', 'end', 'reusable'],
  },
];

for (const { name, bytes, events, method, fin, options } of responses) {
  test(`reads ${name}, wherever it is split`, () => {
    for (let at = 0; at <= bytes.length; at++) {
      const recorder = new Recorder(options);
      recorder.request(method ?? 'GET');
      if (at > 0) recorder.receive(bytes.slice(0, at));
      if (at < bytes.length) recorder.receive(bytes.slice(at));
      if (fin) recorder.codec.onEnd();
      assert.deepEqual(recorder.events, events, `split at ${at}`);
    }
  });
}
