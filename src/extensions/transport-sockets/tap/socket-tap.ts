// The tap of one connection: what passes becomes events, in one trace for the whole connection or in a stream of traces.
import { knownAddress } from '#extension/address-message.ts';
import type { ObservedConnection } from '#extension/transport-socket.ts';
import type { ConnectionObserver } from '#net/connection.ts';
import type { BodyInit, ConnectionInit, SocketEventInit } from '#schema/messages/envoy/data/tap/v3.ts';
import type { Counter } from '#stats/metric.ts';
import type { Scope } from '#stats/store.ts';
import type { TapConfig } from './config.ts';
import { TraceFile } from './trace-file.ts';

export class TapStats {
  readonly streamedSubmit: Counter;
  readonly bufferedSubmit: Counter;
  readonly cxSampledOut: Counter;

  constructor(scope: Scope) {
    this.streamedSubmit = scope.counter('streamed_submit');
    this.bufferedSubmit = scope.counter('buffered_submit');
    this.cxSampledOut = scope.counter('cx_sampled_out');
  }
}

/** Streamed events that wait for more are written after so long. */
const maxAgeSeconds = 15;

export class SocketTap implements ConnectionObserver {
  readonly #config: TapConfig;
  readonly #stats: TapStats;
  readonly #connection: ObservedConnection;
  readonly #file: TraceFile;
  #events: SocketEventInit[] = [];
  #eventBytes = 0;
  #rxBytes = 0;
  #txBytes = 0;
  #readTruncated = false;
  #writeTruncated = false;
  /** Of the next byte, in both directions together. */
  #sequence = 0;

  constructor(config: TapConfig, stats: TapStats, connection: ObservedConnection) {
    this.#config = config;
    this.#stats = stats;
    this.#connection = connection;
    this.#file = new TraceFile(config.pathPrefix, connection.id, config.format);
    if (config.isStreaming)
      // Envoy's change of bodies into texts leaves this of the addresses.
      this.#stream(
        config.format === 'JSON_BODY_AS_STRING' ? { event: {} } : { connection: this.#addresses() },
      );
    this.#sequence++;
  }

  onRead(bytes: Buffer): void {
    if (this.#config.isStreaming) {
      this.#onStreamed(
        { read: { data: this.#body(bytes, this.#streamedLimit(this.#config.maxRxBytes)) } },
        bytes,
      );
      return;
    }
    if (this.#readTruncated) return;
    const left = this.#config.maxRxBytes - this.#rxBytes;
    this.#rxBytes += Math.min(bytes.length, left);
    this.#readTruncated = bytes.length > left;
    this.#events.push({ ...this.#now(), read: { data: this.#body(bytes, left) } });
  }

  onWritten(bytes: Buffer, end: boolean): void {
    if (this.#config.isStreaming) {
      const data = this.#body(bytes, this.#streamedLimit(this.#config.maxTxBytes));
      this.#onStreamed({ write: { data, end_stream: end } }, bytes);
      return;
    }
    if (this.#writeTruncated) return;
    const left = this.#config.maxTxBytes - this.#txBytes;
    this.#txBytes += Math.min(bytes.length, left);
    this.#writeTruncated = bytes.length > left;
    this.#events.push({ ...this.#now(), write: { data: this.#body(bytes, left), end_stream: end } });
  }

  onClose(): void {
    if (this.#config.isStreaming) {
      this.#sequence++;
      this.#events.push({ ...this.#streamedEvent(), closed: {} });
      this.#flush();
    } else {
      this.#stats.bufferedSubmit.value++;
      this.#file.write({
        socket_buffered_trace: {
          trace_id: this.#connection.id,
          connection: this.#addresses(),
          events: this.#events,
          read_truncated: this.#readTruncated,
          write_truncated: this.#writeTruncated,
        },
        configured_sample_rate: this.#config.sampleRate,
      });
    }
    this.#file.close();
  }

  /** Where events are collected, all bytes are. */
  #streamedLimit(limit: number): number {
    return this.#config.minStreamedBytes > 0 ? Number.POSITIVE_INFINITY : limit;
  }

  #onStreamed(what: Pick<SocketEventInit, 'read'> | Pick<SocketEventInit, 'write'>, bytes: Buffer): void {
    this.#events.push({ ...this.#streamedEvent(), ...what } as SocketEventInit);
    this.#eventBytes += bytes.length;
    this.#sequence += bytes.length;
    if (this.#eventBytes >= this.#config.minStreamedBytes || this.#isOld()) this.#flush();
  }

  #isOld(): boolean {
    const seconds = (event: SocketEventInit | undefined) => Number((event!.timestamp as Timestamp).seconds);
    return seconds(this.#events.at(-1)) - seconds(this.#events[0]) >= maxAgeSeconds;
  }

  #flush(): void {
    const events = this.#events;
    this.#events = [];
    this.#eventBytes = 0;
    this.#stream(this.#config.minStreamedBytes > 0 ? { events: { events } } : { event: events[0] });
  }

  #stream(piece: object): void {
    this.#stats.streamedSubmit.value++;
    this.#file.write({
      socket_streamed_trace_segment: { trace_id: this.#connection.id, ...piece },
      configured_sample_rate: this.#config.sampleRate,
    });
  }

  #streamedEvent(): Pick<SocketEventInit, 'timestamp' | 'connection' | 'seq_num'> {
    const connection = this.#config.addressesInEvents ? { connection: this.#addresses() } : {};
    return { ...this.#now(), ...connection, seq_num: this.#sequence };
  }

  #now(): { readonly timestamp: Timestamp } {
    const micros = Math.round((performance.timeOrigin + performance.now()) * 1000);
    const seconds = Math.floor(micros / 1_000_000);
    return { timestamp: { seconds, nanos: (micros - seconds * 1_000_000) * 1000 } };
  }

  #addresses(): ConnectionInit {
    const { localAddress, remoteAddress } = this.#connection;
    return { local_address: knownAddress(localAddress), remote_address: knownAddress(remoteAddress) };
  }

  #body(bytes: Buffer, limit: number): BodyInit {
    const part = bytes.subarray(0, limit);
    const truncated = part.length < bytes.length;
    // The memory is read into again.
    return this.#config.format === 'JSON_BODY_AS_STRING'
      ? { as_string: part.toString('utf8'), truncated }
      : { as_bytes: new Uint8Array(part), truncated };
  }
}

interface Timestamp {
  readonly seconds: number;
  readonly nanos: number;
}
