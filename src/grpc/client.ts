// Calls of a gRPC service: unary and streams, over whatever carries HTTP streams to a cluster. Bytes in, bytes out; the messages are the
// caller's business.
import type { AsyncCallbacks, AsyncClient, AsyncOptions, AsyncStream } from '#http/async-client.ts';
import { HeaderMap } from '#http/header-map.ts';
import { FrameProblem, GrpcFrameReader, grpcFrame } from './frames.ts';
import { GrpcStatus, grpcStatusOfHttp } from './status.ts';

/** Who is called, and how. */
export interface GrpcTarget {
  readonly cluster: string;
  /** The name of the cluster unless something else is configured. */
  readonly authority: string;
  /** Of one message that is received; 0: no limit. */
  readonly maxReceiveBytes: number;
}

export interface GrpcCallbacks {
  onInitialMetadata(headers: HeaderMap): void;
  onMessage(message: Buffer): void;
  /** The last call, except after `cancel`: then there is none. `trailers` is undefined when the stream broke. */
  onClose(status: number, message: string, trailers: HeaderMap | undefined): void;
}

/** Exactly one of the two is called, unless the call is cancelled: perhaps from inside the call that sends, when nobody can be reached. */
export interface UnaryCallbacks {
  onResponse(message: Buffer): void;
  onFailure(status: number, message: string): void;
}

export class GrpcClient {
  readonly #target: GrpcTarget;
  readonly #options: AsyncOptions;
  readonly #transport: AsyncClient;

  constructor(target: GrpcTarget, options: AsyncOptions, transport: AsyncClient) {
    this.#target = target;
    this.#options = options;
    this.#transport = transport;
  }

  /** The headers of a request to `/package.Service/Method`, to which the caller may add metadata. */
  headers(path: string): HeaderMap {
    const { timeoutMs } = this.#options;
    const headers = new HeaderMap();
    headers.method = 'POST';
    headers.scheme = 'http';
    headers.path = path;
    headers.authority = this.#target.authority;
    headers.add('te', 'trailers');
    if (timeoutMs > 0) headers.add('grpc-timeout', grpcTimeout(timeoutMs));
    headers.add('content-type', 'application/grpc');
    return headers;
  }

  /** Sends one message and waits for one. */
  unary(headers: HeaderMap, message: Uint8Array, callbacks: UnaryCallbacks): GrpcStream {
    const stream = this.stream(headers, new UnaryCall(callbacks));
    stream.send(message, true);
    return stream;
  }

  /** A stream in both directions. It is closed already when there is no such cluster. */
  stream(headers: HeaderMap, callbacks: GrpcCallbacks): GrpcStream {
    const { cluster, maxReceiveBytes } = this.#target;
    const stream = new GrpcStream(callbacks, maxReceiveBytes);
    const http = this.#transport.start(cluster, this.#options, stream);
    if (http === undefined) stream.fail(GrpcStatus.Unavailable, 'Cluster not available');
    else stream.start(http, headers);
    return stream;
  }
}

export class GrpcStream implements AsyncCallbacks {
  readonly #callbacks: GrpcCallbacks;
  readonly #reader: GrpcFrameReader;
  #http: AsyncStream | undefined = undefined;
  isClosed = false;

  constructor(callbacks: GrpcCallbacks, maxReceiveBytes: number) {
    this.#callbacks = callbacks;
    this.#reader = new GrpcFrameReader(maxReceiveBytes);
  }

  start(http: AsyncStream, headers: HeaderMap): void {
    this.#http = http;
    http.sendHeaders(headers, false);
  }

  send(message: Uint8Array, isLast: boolean): void {
    if (!this.isClosed) this.#http!.sendData(grpcFrame(message), isLast);
  }

  /** No more messages from this side. */
  end(): void {
    if (!this.isClosed) this.#http!.sendData(noBytes, true);
  }

  /** Ends it without another callback. */
  cancel(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.#http?.reset();
  }

  get isBackedUp(): boolean {
    return this.#http?.isBackedUp ?? false;
  }

  fail(status: number, message: string): void {
    this.#close(status, message, undefined);
    this.#http?.reset();
  }

  // AsyncCallbacks ----------------------------------------------------------------------------------------------------------

  onHeaders(headers: HeaderMap, endStream: boolean): void {
    if (this.isClosed) return;
    if (headers.status !== 200) {
      if (endStream && headers.has('grpc-status')) this.onTrailers(headers);
      else this.fail(grpcStatusOfHttp(headers.status), '');
      return;
    }
    // Headers that end the stream are its trailers.
    if (endStream) this.onTrailers(headers);
    else this.#callbacks.onInitialMetadata(headers);
  }

  onData(data: Buffer, endStream: boolean): void {
    if (this.isClosed) return;
    const reader = this.#reader;
    reader.push(data);
    for (;;) {
      const message = reader.next();
      if (message === undefined) break;
      this.#callbacks.onMessage(message);
      if (this.isClosed) return;
    }
    if (reader.problem !== FrameProblem.None)
      this.fail(
        reader.problem === FrameProblem.TooLong ? GrpcStatus.ResourceExhausted : GrpcStatus.Internal,
        '',
      );
    else if (endStream) this.fail(GrpcStatus.Unknown, '');
  }

  onTrailers(trailers: HeaderMap): void {
    if (this.isClosed) return;
    const text = trailers.get('grpc-status');
    const status = text === undefined ? GrpcStatus.Unknown : /^\d{1,9}$/.test(text) ? Number(text) : -1;
    this.#close(status, trailers.get('grpc-message') ?? '', trailers);
  }

  onReset(): void {
    this.fail(GrpcStatus.Internal, '');
  }

  #close(status: number, message: string, trailers: HeaderMap | undefined): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.#callbacks.onClose(status, message, trailers);
  }
}

class UnaryCall implements GrpcCallbacks {
  readonly #callbacks: UnaryCallbacks;
  #response: Buffer | undefined = undefined;

  constructor(callbacks: UnaryCallbacks) {
    this.#callbacks = callbacks;
  }

  onInitialMetadata(): void {}

  onMessage(message: Buffer): void {
    this.#response = message;
  }

  onClose(status: number, message: string): void {
    if (status !== GrpcStatus.Ok) this.#callbacks.onFailure(status, message);
    else if (this.#response === undefined) this.#callbacks.onFailure(GrpcStatus.Internal, '');
    else this.#callbacks.onResponse(this.#response);
  }
}

/** At most eight digits and a unit. */
function grpcTimeout(timeoutMs: number): string {
  const ms = Math.ceil(timeoutMs);
  if (ms < 1e8) return `${ms}m`;
  const seconds = Math.ceil(ms / 1000);
  return seconds < 1e8 ? `${seconds}S` : `${Math.min(Math.ceil(seconds / 60), 99_999_999)}M`;
}

const noBytes = Buffer.alloc(0);
