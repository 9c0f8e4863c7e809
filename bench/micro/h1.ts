// ns per message of the HTTP/1 codecs alone: parse a request and write it upstream, parse a response and write it downstream, as a
// proxy does. No sockets: the sink joins text as the owner of a connection does and then forgets it.
//
//   node bench/micro/h1.ts [seconds per lane, default 1] [part of the lane's name]
import type {
  ByteSink,
  ClientCodecOwner,
  ServerCodecOwner,
  StreamDecoder,
  StreamEncoder,
} from '../../src/http/codec.ts';
import { H1ClientCodec } from '../../src/http/h1-client-codec.ts';
import { defaultHttp1Options } from '../../src/http/h1-options.ts';
import { Body, H1Parser } from '../../src/http/h1-parser.ts';
import { H1ServerCodec } from '../../src/http/h1-server-codec.ts';

const seconds = Number(process.argv[2] ?? 1);

/** Text is made flat once per message, which is what writing it to a socket costs. */
class Sink implements ByteSink {
  pendingBytes = 0;
  readonly #out = Buffer.alloc(1 << 20);
  #text = '';

  write(): void {
    this.flush();
  }

  writeText(text: string): void {
    this.#text = this.#text === '' ? text : this.#text + text;
  }

  flush(): void {
    if (this.#text !== '') this.#out.write(this.#text, 0, 'latin1');
    this.#text = '';
  }

  flushLater(): void {}
}

class Relay implements ServerCodecOwner, ClientCodecOwner {
  readonly down = new Sink();
  readonly up = new Sink();
  readonly server = new H1ServerCodec(this, this.down, defaultHttp1Options);
  readonly client = new H1ClientCodec(this, this.up, defaultHttp1Options);
  #downstream!: StreamEncoder;
  #upstream!: StreamEncoder;

  readonly #request: StreamDecoder = {
    decodeHeaders: (headers, end) => {
      this.#upstream = this.client.newStream(this.#response);
      this.#upstream.encodeHeaders(headers, end);
    },
    decode1xx() {},
    decodeData: (data, end) => {
      this.#upstream.encodeData(data, end);
    },
    decodeTrailers() {},
    onReset() {},
    onAboveWriteBufferHighWatermark() {},
    onBelowWriteBufferLowWatermark() {},
  };

  readonly #response: StreamDecoder = {
    ...this.#request,
    decodeHeaders: (headers, end) => {
      if (headers.has('transfer-encoding')) headers.remove('transfer-encoding');
      this.#downstream.encodeHeaders(headers, end);
    },
    decodeData: (data, end) => this.#downstream.encodeData(data, end),
  };

  newStream(encoder: StreamEncoder): StreamDecoder {
    this.#downstream = encoder;
    return this.#request;
  }

  onCodecError(): void {
    console.error('codec error');
    process.exit(1);
  }

  onReadDisable(): void {}
  onStreamEnd(): void {}
  onGoAway(): void {}
  onMaxStreams(): void {}
}

const small =
  'GET /api/v1/items?id=42 HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: wrk/4.2.0\r\nAccept: */*\r\n\r\n';
const browser =
  'GET /assets/app/main.js?v=20240101 HTTP/1.1\r\nHost: www.example.com\r\nConnection: keep-alive\r\n' +
  'User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36\r\n' +
  'Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n' +
  'Accept-Encoding: gzip, deflate, br\r\nAccept-Language: en-GB,en;q=0.9\r\nCache-Control: no-cache\r\n' +
  'Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\nReferer: https://www.example.com/\r\n' +
  'Sec-Fetch-Dest: script\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Site: same-origin\r\nX-Tenant-Id: 12345\r\n\r\n';
const response =
  'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 13\r\ndate: Sat, 21 Nov 2026 12:00:00 GMT\r\n' +
  'server: upstream\r\n\r\n{"id":42,"a"}';
const chunkedResponse =
  'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\ndate: Sat, 21 Nov 2026 12:00:00 GMT\r\n' +
  'server: upstream\r\n\r\nd\r\n{"id":42,"a"}\r\n0\r\n\r\n';

const lanes: [name: string, request: string, response: string][] = [
  ['parse small request', small, ''],
  ['parse browser request', browser, ''],
  ['round trip small, length', small, response],
  ['round trip small, chunked', small, chunkedResponse],
  ['round trip browser, length', browser, response],
];

for (const [name, requestText, responseText] of lanes) {
  if (!name.includes(process.argv[3] ?? '')) continue;
  const requestBytes = Buffer.from(requestText, 'latin1');
  const responseBytes = Buffer.from(responseText, 'latin1');
  const relay = new Relay();
  const parser = new H1Parser(
    true,
    { onMessageBegin() {}, onHead: () => Body.None, onBody() {}, onTrailers() {} },
    defaultHttp1Options,
  );
  const run = (count: number) => {
    for (let i = 0; i < count; i++) {
      if (responseText === '') {
        parser.execute(requestBytes, 0);
        parser.reset();
        continue;
      }
      relay.server.onData(requestBytes);
      relay.up.flush();
      relay.client.onData(responseBytes);
      relay.down.flush();
    }
  };
  run(20_000);
  const rounds: number[] = [];
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end) {
    const start = process.hrtime.bigint();
    run(20_000);
    rounds.push(Number(process.hrtime.bigint() - start) / 20_000);
  }
  rounds.sort((a, b) => a - b);
  const at = (part: number) => Math.round(rounds[Math.floor((rounds.length - 1) * part)]!);
  console.log(`${name.padEnd(28)} ${String(at(0.5)).padStart(6)} ns  (best ${at(0)}, p90 ${at(0.9)})`);
}
