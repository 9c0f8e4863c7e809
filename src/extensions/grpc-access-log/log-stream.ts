// The stream that entries of one log go over: batched by size and time, begun anew with the next batch when it has broken.
import { collectTakings } from '#base/takings.ts';
import { type TimerOwner, WheelTimer } from '#base/timer-wheel.ts';
import { AccessLogType, type FormatContext } from '#extension/formatter.ts';
import { StreamClient } from '#extension/grpc-service.ts';
import type { WorkerServices } from '#extension/worker-services.ts';
import type { GrpcCallbacks, GrpcStream } from '#grpc/client.ts';
import { encodeMessage } from '#schema/binary.ts';
import { message } from '#schema/registry.ts';
import { WireType, WireWriter } from '#schema/wire.ts';
import type { Counter } from '#stats/metric.ts';
import type { Scope } from '#stats/store.ts';
import type { GrpcAccessLogConfig } from './config.ts';

/** Fields of StreamAccessLogsMessage that hold the entries. */
export const EntryField = { Http: 2, Tcp: 3 } as const;
export type EntryField = (typeof EntryField)[keyof typeof EntryField];

const path = '/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs';

class GrpcAccessLogStats {
  readonly logsWritten: Counter;
  readonly logsDropped: Counter;
  readonly entriesFlushed: Counter;
  readonly entriesFlushFailed: Counter;

  constructor(scope: Scope) {
    this.logsWritten = scope.counter('logs_written');
    this.logsDropped = scope.counter('logs_dropped');
    this.entriesFlushed = scope.counter('grpc_entries_flushed');
    this.entriesFlushFailed = scope.counter('grpc_entries_flush_failed');
  }
}

/** By worker: loggers with the same service and log share a stream. */
const streams = new WeakMap<object, Map<string, LogStream>>();

export function logStream(
  config: GrpcAccessLogConfig,
  field: EntryField,
  services: WorkerServices,
): LogStream {
  let known = streams.get(services.asyncClient);
  if (known === undefined) {
    known = new Map();
    streams.set(services.asyncClient, known);
  }
  const { bufferBytes, flushIntervalMs, logName, service } = config;
  const key = JSON.stringify([field, logName, service, bufferBytes, flushIntervalMs]);
  let stream = known.get(key);
  if (stream === undefined) {
    // Not a taking of whoever is the first.
    stream = collectTakings(() => new LogStream(config, field, services)).value;
    known.set(key, stream);
  }
  return stream;
}

export class LogStream implements TimerOwner, GrpcCallbacks {
  readonly #config: GrpcAccessLogConfig;
  readonly #field: EntryField;
  readonly #services: WorkerServices;
  readonly #client: StreamClient;
  readonly #stats: GrpcAccessLogStats;
  readonly #timer = new WheelTimer(this);
  readonly #identifier: Uint8Array;
  #entries: Uint8Array[] = [];
  #bytes = 0;
  #stream: GrpcStream | undefined = undefined;

  constructor(config: GrpcAccessLogConfig, field: EntryField, services: WorkerServices) {
    this.#config = config;
    this.#field = field;
    this.#services = services;
    this.#client = new StreamClient(config.service!, path, services);
    this.#stats = services.stats.scope('access_logs.grpc_access_log').stats(GrpcAccessLogStats);
    this.#identifier = encodeMessage(
      message('envoy.service.accesslog.v3.StreamAccessLogsMessage.Identifier'),
      {
        node: services.node,
        log_name: config.logName,
      },
    );
  }

  /** `entry`: an encoded HTTPAccessLogEntry or TCPAccessLogEntry. */
  write(entry: Uint8Array): void {
    const { bufferBytes, flushIntervalMs } = this.#config;
    // As in Envoy entries of connections are neither counted nor lost.
    if (this.#field === EntryField.Http && bufferBytes > 0 && this.#bytes >= bufferBytes) {
      this.#flush();
      // The service takes no more: what is new is lost.
      if (this.#bytes >= bufferBytes) {
        this.#stats.logsDropped.value++;
        return;
      }
    }
    if (this.#field === EntryField.Http) this.#stats.logsWritten.value++;
    this.#entries.push(entry);
    this.#bytes += entry.length;
    if (this.#bytes >= bufferBytes) this.#flush();
    else if (!this.#timer.isActive) this.#services.timers.start(this.#timer, flushIntervalMs);
  }

  onTimeout(): void {
    this.#flush();
    if (this.#entries.length > 0) this.#services.timers.start(this.#timer, this.#config.flushIntervalMs);
  }

  #flush(): void {
    if (this.#entries.length === 0) return;
    let stream = this.#stream;
    const isFirst = stream === undefined || stream.isClosed;
    if (isFirst) {
      stream = this.#client.start(noContext, this);
      this.#stream = stream;
    } else if (stream!.isBackedUp) return;
    // Nobody to be reached: the entries are lost.
    if (stream!.isClosed) this.#stats.entriesFlushFailed.value += this.#entries.length;
    else {
      stream!.send(this.#message(isFirst), false);
      this.#stats.entriesFlushed.value += this.#entries.length;
    }
    this.#entries = [];
    this.#bytes = 0;
    this.#services.timers.cancel(this.#timer);
  }

  /** The first message of a stream says whose log it is. */
  #message(isFirst: boolean): Uint8Array {
    const writer = new WireWriter();
    if (isFirst) {
      writer.tag(1, WireType.Bytes);
      writer.bytes(this.#identifier);
    }
    writer.tag(this.#field, WireType.Bytes);
    const start = writer.fork();
    for (const entry of this.#entries) {
      writer.tag(1, WireType.Bytes);
      writer.bytes(entry);
    }
    writer.join(start);
    return writer.finish();
  }

  onInitialMetadata(): void {}

  onMessage(): void {}

  onClose(): void {
    this.#stream = undefined;
  }
}

/** The stream is nobody's request. */
const noContext: FormatContext = {
  info: undefined as never,
  requestHeaders: undefined,
  responseHeaders: undefined,
  responseTrailers: undefined,
  logType: AccessLogType.NotSet,
};
