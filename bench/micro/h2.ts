// Nanoseconds of the HTTP/2 codec, without sockets: header blocks alone, and whole exchanges between two sessions in memory
// (so each figure holds a client's and a server's work). Run: node bench/micro/h2.ts

import { systemClock } from '#base/clock.ts';
import { TimerWheel } from '#base/timer-wheel.ts';
import type {
  ByteSink,
  ClientCodecOwner,
  FlushSource,
  ServerCodecOwner,
  StreamDecoder,
  StreamEncoder,
} from '#http/codec.ts';
import { defaultH2Options } from '#http/h2-options.ts';
import { H2Session } from '#http/h2-session.ts';
import { HeaderMap } from '#http/header-map.ts';
import { HpackDecoder } from '#http/hpack-decoder.ts';
import { HpackEncoder } from '#http/hpack-encoder.ts';
import { newH2Stats } from '#testing/h2-wire.ts';

/** The best of several rounds, in ns per call of `once`, which does `count` things. */
function measure(name: string, count: number, once: () => void): void {
  for (let i = 0; i < 20_000 / count + 20; i++) once();
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 7; round++) {
    const rounds = Math.ceil(60_000 / count);
    const start = process.hrtime.bigint();
    for (let i = 0; i < rounds; i++) once();
    best = Math.min(best, Number(process.hrtime.bigint() - start) / rounds / count);
  }
  console.log(`${name.padEnd(64)} ${best.toFixed(0).padStart(6)} ns`);
}

let id = 0;
function request(isUnique: boolean): HeaderMap {
  const headers = new HeaderMap();
  headers.method = 'GET';
  headers.scheme = 'http';
  headers.authority = 'service.example:8080';
  headers.path = isUnique ? `/api/v1/items/${id++}` : '/api/v1/items';
  const { list } = headers;
  list.push('user-agent', 'h2load nghttp2/1.52.0', 'accept', '*/*', 'x-forwarded-proto', 'http');
  if (isUnique) list.push('x-request-id', `d8290b33-a63f-4308-ab2c-${String(1e11 + id++)}`);
  list.push('x-envoy-expected-rq-timeout-ms', '15000');
  return headers;
}

function response(): HeaderMap {
  const headers = new HeaderMap();
  headers.status = 200;
  headers.list.push('content-type', 'text/plain', 'content-length', '1024', 'server', 'envoy');
  headers.list.push('date', 'Sat, 21 Nov 2026 09:52:16 GMT', 'x-envoy-upstream-service-time', '1');
  return headers;
}

for (const isUnique of [false, true]) {
  const encoder = new HpackEncoder();
  const decoder = new HpackDecoder();
  const target = Buffer.alloc(4096);
  const sink = { onField() {} };
  const what = isUnique ? 'new path and request id each time' : 'the same again';
  let end = 0;
  measure(`hpack: encode a request of 9 fields, ${what}`, 1, () => {
    end = encoder.encode(request(isUnique), target, 0);
  });
  const blocks: Buffer[] = [];
  const encoder2 = new HpackEncoder();
  for (let i = 0; i < 1000; i++) {
    end = encoder2.encode(request(isUnique), target, 0);
    blocks.push(Buffer.from(target.subarray(0, end)));
  }
  for (let i = 0; i < 50; i++) decoder.decode(blocks[i]!, 0, blocks[i]!.length, sink);
  let next = 50;
  measure(`hpack: decode it, ${end} bytes`, 1, () => {
    const block = blocks[next]!;
    decoder.decode(block, 0, block.length, sink);
    if (++next === 1000) next = 50;
  });
}

class Sink implements ByteSink {
  source: FlushSource | undefined = undefined;
  parts: Buffer[] = [];
  readonly pendingBytes = 0;
  write(bytes: Buffer): void {
    this.parts.push(bytes);
  }
  writeText(): void {}
  flushLater(source: FlushSource): void {
    this.source = source;
  }
  moveTo(session: H2Session): void {
    const source = this.source;
    this.source = undefined;
    source?.flush();
    const parts = this.parts;
    if (parts.length === 0) return;
    const all = parts.length === 1 ? parts[0]! : Buffer.concat(parts);
    parts.length = 0;
    session.onData(all);
  }
}

class Silent implements StreamDecoder {
  decodeHeaders(_headers: HeaderMap, _endStream: boolean): void {}
  decode1xx(): void {}
  decodeData(_data: Buffer, _endStream: boolean): void {}
  decodeTrailers(): void {}
  onReset(): void {}
  onAboveWriteBufferHighWatermark(): void {}
  onBelowWriteBufferLowWatermark(): void {}
}

class Answering extends Silent {
  readonly #encoder: StreamEncoder;
  readonly #body: Buffer;
  constructor(encoder: StreamEncoder, body: Buffer) {
    super();
    this.#encoder = encoder;
    this.#body = body;
  }
  override decodeHeaders(): void {
    this.#encoder.encodeHeaders(response(), false);
    this.#encoder.encodeData(this.#body, true);
  }
}

for (const [bodyBytes, isUnique] of [
  [0, false],
  [1000, false],
  [1000, true],
  [100_000, false],
] as const) {
  const body = Buffer.alloc(bodyBytes, 'x');
  const up = new Sink();
  const down = new Sink();
  const quiet = { onCodecError(): void {}, onReadDisable(): void {} };
  const serverOwner: ServerCodecOwner = { ...quiet, newStream: (encoder) => new Answering(encoder, body) };
  const clientOwner: ClientCodecOwner = { ...quiet, onStreamEnd() {}, onGoAway() {}, onMaxStreams() {} };
  const wheel = new TimerWheel(systemClock);
  const server = new H2Session(
    serverOwner,
    undefined,
    down,
    defaultH2Options,
    newH2Stats(),
    wheel,
    systemClock,
  );
  const client = new H2Session(
    undefined,
    clientOwner,
    up,
    defaultH2Options,
    newH2Stats(),
    wheel,
    systemClock,
  );
  const silent = new Silent();
  const batch = 10;
  measure(`exchange, both sides, ${bodyBytes} bytes${isUnique ? ', new path and id' : ''}`, batch, () => {
    for (let i = 0; i < batch; i++) client.newStream(silent).encodeHeaders(request(isUnique), true);
    up.moveTo(server);
    down.moveTo(client);
    up.moveTo(server);
  });
}
