// Both ends of an HTTP/1 connection without a socket: bytes go in as text, what the codec says comes out as lines. Data is one line
// however it was sliced, so that two ways to split the same bytes can be compared.
import assert from 'node:assert/strict';
import type {
  ByteSink,
  ClientCodecOwner,
  CodecError,
  ServerCodecOwner,
  StreamDecoder,
  StreamEncoder,
} from '#http/codec.ts';
import { H1ClientCodec } from '#http/h1-client-codec.ts';
import { defaultHttp1Options, type Http1Options } from '#http/h1-options.ts';
import { H1ServerCodec } from '#http/h1-server-codec.ts';
import { HeaderMap } from '#http/header-map.ts';

abstract class Recorder {
  readonly events: string[] = [];
  written = '';

  protected readonly sink: ByteSink = {
    write: (bytes) => {
      this.written += bytes.toString('latin1');
    },
    writeText: (text) => {
      this.written += text;
    },
    flushLater: () => assert.fail('HTTP/1 writes at once'),
    pendingBytes: 0,
  };

  /** Called when a message is complete. */
  protected onMessageEnd(): void {}

  readonly decoder: StreamDecoder = {
    decodeHeaders: (headers, end) => {
      this.events.push(describe(headers));
      if (end) this.#end();
    },
    decode1xx: (headers) => this.events.push(`interim ${describe(headers)}`),
    decodeData: (data, end) => {
      if (data.length > 0) {
        if (this.events.at(-1)!.startsWith('data '))
          this.events[this.events.length - 1] += data.toString('latin1');
        else this.events.push(`data ${data.toString('latin1')}`);
      }
      if (end) this.#end();
    },
    decodeTrailers: (trailers) => {
      this.events.push(`trailers ${trailers.list.join(' ')}`);
      this.#end();
    },
    onReset: (reason, details) => this.events.push(`reset ${reason} ${details}`.trimEnd()),
    onAboveWriteBufferHighWatermark: () => this.events.push('above'),
    onBelowWriteBufferLowWatermark: () => this.events.push('below'),
  };

  onCodecError(error: CodecError): void {
    this.events.push(
      `error ${error.status} ${error.details} (${error.message.replace('http/1.1 protocol error: ', '')})`,
    );
  }

  onReadDisable(disable: boolean): void {
    this.events.push(disable ? 'pause' : 'resume');
  }

  #end(): void {
    this.events.push('end');
    this.onMessageEnd();
  }
}

/** A connection of a client to us. */
export class Http1ServerRecorder extends Recorder implements ServerCodecOwner {
  readonly encoders: StreamEncoder[] = [];
  readonly codec: H1ServerCodec;
  /** Answer every complete request with an empty 200, and close after one of HTTP/1.0. */
  answers = false;

  constructor(options: Partial<Http1Options> = {}) {
    super();
    this.codec = new H1ServerCodec(this, this.sink, { ...defaultHttp1Options, ...options });
  }

  newStream(encoder: StreamEncoder): StreamDecoder {
    this.encoders.push(encoder);
    return this.decoder;
  }

  protected override onMessageEnd(): void {
    if (this.answers) this.reply(200, this.codec.protocol === 'HTTP/1.0' ? ['connection', 'close'] : []);
  }

  send(text: string): this {
    if (text !== '') this.codec.onData(Buffer.from(text, 'latin1'));
    return this;
  }

  reply(status: number, fields: readonly string[] = [], body = ''): void {
    const encoder = this.encoders.at(-1)!;
    const withLength = body === '' ? fields : [...fields, 'content-length', String(body.length)];
    encoder.encodeHeaders(responseHeaders(status, withLength), body === '');
    if (body !== '') encoder.encodeData(Buffer.from(body), true);
  }
}

/** A connection of ours to an upstream. */
export class Http1ClientRecorder extends Recorder implements ClientCodecOwner {
  readonly codec: H1ClientCodec;

  constructor(options: Partial<Http1Options> = {}) {
    super();
    this.codec = new H1ClientCodec(this, this.sink, { ...defaultHttp1Options, ...options });
  }

  /** Sends the head of a request, which is all of it unless `endStream` is false. */
  request(method: string, fields: readonly string[] = [], endStream = true): StreamEncoder {
    const encoder = this.codec.newStream(this.decoder);
    encoder.encodeHeaders(requestHeaders(method, fields), endStream);
    return encoder;
  }

  receive(text: string): this {
    if (text !== '') this.codec.onData(Buffer.from(text, 'latin1'));
    return this;
  }

  onStreamEnd(reusable: boolean): void {
    this.events.push(reusable ? 'reusable' : 'not reusable');
  }

  onGoAway(): void {
    this.events.push('go away');
  }

  onMaxStreams(): void {}
}

export function requestHeaders(method: string, fields: readonly string[] = []): HeaderMap {
  const headers = new HeaderMap();
  headers.method = method;
  headers.scheme = 'http';
  headers.authority = 'a.com';
  headers.path = '/p';
  headers.list.push(...fields);
  return headers;
}

export function responseHeaders(status: number, fields: readonly string[] = []): HeaderMap {
  const headers = new HeaderMap();
  headers.status = status;
  headers.list.push(...fields);
  return headers;
}

/** `GET //a.com /p accept: x` or `200 content-length: 2`; an empty host header shows as `""`. */
function describe(headers: HeaderMap): string {
  const { method, scheme, path, status, list } = headers;
  const host = headers.isAuthorityEmpty ? '""' : headers.authority;
  let text = method === '' ? `${status}` : `${method} ${scheme === '' ? '' : `${scheme}:`}//${host} ${path}`;
  for (let i = 0; i < list.length; i += 2) text += ` ${list[i]}: ${list[i + 1]}`;
  return text.trimEnd();
}
