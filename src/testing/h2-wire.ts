// HTTP/2 by hand for tests: frames from numbers, frames out of bytes, a sink that keeps what it gets, decoders that write
// down what they are told, and a session on a real socket.
import type { Socket } from 'node:net';
import { TimerWheel } from '#base/timer-wheel.ts';
import {
  type ByteSink,
  type ClientCodecOwner,
  type CodecError,
  type FlushSource,
  ResetReason,
  type ServerCodecOwner,
  type StreamDecoder,
  type StreamEncoder,
} from '#http/codec.ts';
import { defaultH2Options, type H2Options } from '#http/h2-options.ts';
import { H2Session } from '#http/h2-session.ts';
import { type H2CodecStats, h2CounterNames, h2GaugeNames } from '#http/h2-stats.ts';
import { HeaderMap } from '#http/header-map.ts';
import { ManualClock } from './manual-clock.ts';

export function frame(type: number, flags: number, id: number, payload: Buffer | string = ''): Buffer {
  const body = typeof payload === 'string' ? Buffer.from(payload, 'latin1') : payload;
  const head = Buffer.alloc(9);
  head.writeUIntBE(body.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(id, 5);
  return Buffer.concat([head, body]);
}

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly id: number;
  readonly payload: Buffer;
}

/** The whole frames in `bytes`. */
export function framesOf(bytes: Buffer): Frame[] {
  const frames: Frame[] = [];
  for (let at = 0; at + 9 <= bytes.length; ) {
    const length = bytes.readUIntBE(at, 3);
    const payload = bytes.subarray(at + 9, at + 9 + length);
    frames.push({ type: bytes[at + 3]!, flags: bytes[at + 4]!, id: bytes.readUInt32BE(at + 5), payload });
    at += 9 + length;
  }
  return frames;
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export function settings(...pairs: readonly (readonly [number, number])[]): Buffer {
  const payload = Buffer.alloc(pairs.length * 6);
  pairs.forEach(([id, value], i) => {
    payload.writeUInt16BE(id, i * 6);
    payload.writeUInt32BE(value, i * 6 + 2);
  });
  return frame(4, 0, 0, payload);
}

/** A header block of literals, which depends on no table. Fields as `name: value`, pseudo-headers included. */
export function literalBlock(...fields: string[]): Buffer {
  return Buffer.concat(
    fields.flatMap((field) => {
      const colon = field.indexOf(': ', 1);
      const name = Buffer.from(field.slice(0, colon), 'latin1');
      const value = Buffer.from(field.slice(colon + 2), 'latin1');
      return [Buffer.from([0x00]), prefixedLength(name), name, prefixedLength(value), value];
    }),
  );
}

function prefixedLength(text: Buffer): Buffer {
  const bytes = [Math.min(text.length, 127)];
  if (text.length >= 127) {
    let rest = text.length - 127;
    for (; rest >= 128; rest >>= 7) bytes.push((rest & 127) | 128);
    bytes.push(rest);
  }
  return Buffer.from(bytes);
}

export function headerMap(pseudo: Partial<HeaderMap>, ...list: string[]): HeaderMap {
  const headers = new HeaderMap();
  const { method, scheme, authority, path, protocol, status } = pseudo;
  Object.assign(headers, {
    method: method ?? '',
    scheme: scheme ?? '',
    authority: authority ?? '',
    path: path ?? '',
    protocol: protocol ?? '',
    status: status ?? 0,
  });
  headers.list.push(...list);
  return headers;
}

export function getRequest(path = '/', ...list: string[]): HeaderMap {
  return headerMap({ method: 'GET', scheme: 'http', authority: 'host', path }, ...list);
}

/** Keeps what it gets. `slow` sinks never finish with it, `eager` ones do not wait for the end of the turn. */
export class MemorySink implements ByteSink {
  #parts: Buffer[] = [];
  #source: FlushSource | undefined = undefined;
  #written = 0;
  slow = false;
  eager = false;

  write(bytes: Buffer): void {
    this.#parts.push(bytes);
    this.#written += bytes.length;
    if (this.eager) this.#flushSource();
  }

  writeText(text: string): void {
    this.write(Buffer.from(text, 'latin1'));
  }

  flushLater(source: FlushSource): void {
    this.#source = source;
  }

  get pendingBytes(): number {
    return this.slow ? this.#written : 0;
  }

  #flushSource(): void {
    const source = this.#source;
    this.#source = undefined;
    source?.flush();
  }

  /** Ends the turn: what was written since the last time. */
  take(): Buffer {
    while (this.#source !== undefined) this.#flushSource();
    const all = Buffer.concat(this.#parts);
    this.#parts = [];
    return all;
  }
}

export function newH2Stats(): H2CodecStats {
  return Object.fromEntries(
    [...h2CounterNames, ...h2GaugeNames].map((name) => [name, { value: 0 }]),
  ) as H2CodecStats;
}

/** The counters and gauges that are not zero. */
export function nonZero(stats: H2CodecStats): Record<string, number> {
  return Object.fromEntries(
    Object.entries(stats).flatMap(([name, tally]) => (tally.value === 0 ? [] : [[name, tally.value]])),
  );
}

const resetNames = Object.fromEntries(Object.entries(ResetReason).map(([name, value]) => [value, name]));

/** One line: what the message starts with, then its fields. */
export function textOf(headers: HeaderMap): string {
  const { method, scheme, authority, path, protocol, status, list } = headers;
  const start =
    status !== 0 ? String(status) : [method, protocol, scheme, authority, path].filter(Boolean).join(' ');
  const fields: string[] = [];
  for (let i = 0; i < list.length; i += 2) fields.push(`${list[i]}: ${list[i + 1]}`);
  return [start, ...fields].filter(Boolean).join(' | ');
}

/** Writes down what a stream is told, one line each. */
export class RecordingDecoder implements StreamDecoder {
  readonly log: string[] = [];
  bodyBytes = 0;
  readonly #onMessage: ((recorder: RecordingDecoder) => void) | undefined;
  headers = new HeaderMap();

  /** `onMessage` runs when the message has ended. */
  constructor(onMessage?: (recorder: RecordingDecoder) => void) {
    this.#onMessage = onMessage;
  }

  #note(line: string, endStream: boolean): void {
    this.log.push(endStream ? `${line} $` : line);
    if (endStream) this.#onMessage?.(this);
  }

  decodeHeaders(headers: HeaderMap, endStream: boolean): void {
    this.headers = headers;
    this.#note(textOf(headers), endStream);
  }

  decode1xx(headers: HeaderMap): void {
    this.#note(`1xx ${textOf(headers)}`, false);
  }

  decodeData(data: Buffer, endStream: boolean): void {
    this.bodyBytes += data.length;
    const last = this.log.at(-1);
    // How the body is cut is nobody's business.
    if (last?.startsWith('data ')) this.log[this.log.length - 1] = `${last}${data.toString('latin1')}`;
    else this.log.push(`data ${data.toString('latin1')}`);
    if (endStream) {
      this.log[this.log.length - 1] += ' $';
      this.#onMessage?.(this);
    }
  }

  decodeTrailers(trailers: HeaderMap): void {
    this.#note(`trailers ${textOf(trailers)}`, true);
  }

  onReset(reason: ResetReason, details: string): void {
    this.log.push(`reset ${resetNames[reason]} ${details}`.trim());
  }

  onAboveWriteBufferHighWatermark(): void {
    this.log.push('above');
  }

  onBelowWriteBufferLowWatermark(): void {
    this.log.push('below');
  }
}

/** A server session in memory, with the streams its peer opened. */
export class TestServer implements ServerCodecOwner {
  readonly sink = new MemorySink();
  readonly stats = newH2Stats();
  readonly clock = new ManualClock();
  readonly streams: { readonly encoder: StreamEncoder; readonly decoder: RecordingDecoder }[] = [];
  readonly errors: CodecError[] = [];
  readonly session: H2Session;
  /** What is done when a request has ended. */
  respond: ((encoder: StreamEncoder, request: RecordingDecoder) => void) | undefined;

  constructor(options: Partial<H2Options> = {}) {
    const all = { ...defaultH2Options, ...options };
    this.session = new H2Session(
      this,
      undefined,
      this.sink,
      all,
      this.stats,
      new TimerWheel(this.clock),
      this.clock,
    );
  }

  newStream(encoder: StreamEncoder): StreamDecoder {
    const decoder = new RecordingDecoder((request) => this.respond?.(encoder, request));
    this.streams.push({ encoder, decoder });
    return decoder;
  }

  onCodecError(error: CodecError): void {
    this.errors.push(error);
  }

  onReadDisable(): void {}
}

/** A client session in memory. */
export class TestClient implements ClientCodecOwner {
  readonly sink = new MemorySink();
  readonly stats = newH2Stats();
  readonly clock = new ManualClock();
  readonly log: string[] = [];
  readonly errors: CodecError[] = [];
  readonly session: H2Session;

  constructor(options: Partial<H2Options> = {}) {
    const all = { ...defaultH2Options, ...options };
    this.session = new H2Session(
      undefined,
      this,
      this.sink,
      all,
      this.stats,
      new TimerWheel(this.clock),
      this.clock,
    );
  }

  request(
    headers: HeaderMap,
    endStream = true,
    decoder = new RecordingDecoder(),
  ): [StreamEncoder, RecordingDecoder] {
    const encoder = this.session.newStream(decoder);
    encoder.encodeHeaders(headers, endStream);
    return [encoder, decoder];
  }

  onStreamEnd(reusable: boolean): void {
    this.log.push(`end ${reusable}`);
  }

  onGoAway(): void {
    this.log.push('goaway');
  }

  onMaxStreams(limit: number): void {
    this.log.push(`max streams ${limit}`);
  }

  /** As a pool it lets go of the connection. */
  onCodecError(error: CodecError): void {
    this.errors.push(error);
    this.session.onConnectionClose(ResetReason.ProtocolError, '');
  }

  onReadDisable(): void {}
}

/** Carries bytes between the two until both are silent. */
export function exchange(client: TestClient, server: TestServer): void {
  for (;;) {
    const up = client.sink.take();
    if (up.length > 0) server.session.onData(up);
    const down = server.sink.take();
    if (down.length > 0) client.session.onData(down);
    if (up.length + down.length === 0) return;
  }
}

/** Joins an in-memory owner's sink to a socket, once per turn. */
export function serveSocket(
  owner: { readonly sink: MemorySink; readonly session: H2Session },
  socket: Socket,
): void {
  const flush = () => {
    const bytes = owner.sink.take();
    if (bytes.length > 0 && socket.writable) socket.write(bytes);
  };
  socket.on('data', (bytes: Buffer) => {
    owner.session.onData(bytes);
    flush();
  });
  socket.on('close', () => owner.session.onConnectionClose(ResetReason.ConnectionTermination, ''));
  socket.on('error', () => {});
  flush();
}
