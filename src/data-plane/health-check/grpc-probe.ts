// A health check by a call of `grpc.health.v1.Health.Check`.
import { compileLevel } from '#extension/header-mutation-config.ts';
import type { HeaderMutations } from '#extension/header-mutations.ts';
import { FrameProblem, GrpcFrameReader, grpcFrame } from '#grpc/frames.ts';
import {
  type ClientCodec,
  type ClientCodecOwner,
  ResetReason,
  type StreamDecoder,
  type StreamEncoder,
} from '#http/codec.ts';
import { HeaderMap } from '#http/header-map.ts';
import type { Connection, ConnectionOwner } from '#net/connection.ts';
import { BinaryError, decodeMessage, encodeMessage } from '#schema/binary.ts';
import { message } from '#schema/registry.ts';
import { CheckClient, type CheckClientOwner } from './check-client.ts';
import type { CheckShared } from './host-check.ts';
import type { GrpcProbeConfig } from './health-check-config.ts';
import { FailureType, type Probe, type ProbeOwner } from './probe.ts';
import type { ProbeConnections } from './probe-connections.ts';

/** Of all hosts of a check. */
export class GrpcProbeShared {
  readonly config: GrpcProbeConfig;
  readonly check: CheckShared;
  readonly metadata: HeaderMutations | null;
  readonly request: Buffer;
  readonly timeout: string;

  constructor(config: GrpcProbeConfig, check: CheckShared) {
    this.config = config;
    this.check = check;
    this.metadata = compileLevel(config.metadata);
    const type = message('grpc.health.v1.HealthCheckRequest');
    this.request = grpcFrame(encodeMessage(type, { service: config.serviceName }));
    this.timeout = `${Math.floor(check.config.timeoutMs)}m`;
  }
}

export class GrpcProbe implements Probe, CheckClientOwner, StreamDecoder {
  readonly #shared: GrpcProbeShared;
  readonly #connections: ProbeConnections;
  readonly #owner: ProbeOwner;
  readonly #client = new CheckClient(this);
  #isWaiting = false;
  #closesAfter = false;
  #encoder: StreamEncoder | undefined = undefined;
  #frames = new GrpcFrameReader();
  #answer: Buffer | undefined = undefined;

  constructor(shared: GrpcProbeShared, connections: ProbeConnections, owner: ProbeOwner) {
    this.#shared = shared;
    this.#connections = connections;
    this.#owner = owner;
  }

  start(): void {
    this.#isWaiting = true;
    this.#frames = new GrpcFrameReader();
    this.#answer = undefined;
    const codec = this.#client.connect();
    if (codec !== undefined) this.#send(codec);
  }

  onTimeout(): void {
    this.#isWaiting = false;
    if (this.#closesAfter || this.#encoder === undefined) this.#client.close();
    else this.#giveUpStream();
  }

  close(): void {
    this.#isWaiting = false;
    this.#client.close();
  }

  // CheckClientOwner --------------------------------------------------------------------------------------------------------

  open(owner: ConnectionOwner): Connection {
    this.#closesAfter = !this.#shared.check.config.reusesConnections;
    return this.#connections.open(owner);
  }

  newCodec(connection: Connection, owner: ClientCodecOwner): ClientCodec {
    return this.#connections.newCodec(connection, owner, true);
  }

  onReady(codec: ClientCodec): void {
    if (this.#isWaiting) this.#send(codec);
  }

  onStreamOver(): void {
    this.#encoder = undefined;
    if (this.#closesAfter) this.#client.close();
  }

  onGoAway(isError: boolean): void {
    if (this.#isWaiting && !isError) {
      this.#closesAfter = true;
      return;
    }
    this.#fail(FailureType.Network);
    this.#client.close();
  }

  onGone(): void {
    this.#encoder = undefined;
    this.#fail(FailureType.Network);
  }

  // StreamDecoder -----------------------------------------------------------------------------------------------------------

  decode1xx(): void {}

  decodeHeaders(headers: HeaderMap, endStream: boolean): void {
    if (endStream) this.#judge(headers.get('grpc-status'));
    else if (headers.status !== 200 || !isGrpc(headers.get('content-type'))) {
      this.#fail(FailureType.Active);
      this.#giveUpStream();
    }
  }

  decodeData(data: Buffer, endStream: boolean): void {
    if (endStream) {
      this.#fail(FailureType.Active);
      return;
    }
    // A copy: memory of reads goes around.
    this.#frames.push(Buffer.from(data));
    let isWrong = false;
    for (let frame = this.#frames.next(); frame !== undefined && !isWrong; frame = this.#frames.next()) {
      if (frame.length === 0) continue;
      // The call has one answer.
      isWrong = this.#answer !== undefined || servingStatus(frame) === undefined;
      this.#answer = frame;
    }
    if (!isWrong && this.#frames.problem === FrameProblem.None) return;
    this.#fail(FailureType.Active);
    this.#giveUpStream();
  }

  decodeTrailers(trailers: HeaderMap): void {
    this.#judge(trailers.get('grpc-status'));
  }

  onReset(): void {
    this.#encoder = undefined;
    if (this.#closesAfter) this.#client.close();
    this.#fail(FailureType.Network);
  }

  onAboveWriteBufferHighWatermark(): void {}

  onBelowWriteBufferLowWatermark(): void {}

  #send(codec: ClientCodec): void {
    const { config, metadata, request, timeout } = this.#shared;
    const connections = this.#connections;
    const headers = new HeaderMap();
    headers.method = 'POST';
    headers.path = '/grpc.health.v1.Health/Check';
    headers.authority = connections.hostname(config.authority);
    headers.add('te', 'trailers');
    headers.add('content-type', 'application/grpc');
    headers.add('user-agent', 'Envoy/HC');
    metadata?.apply(headers, connections.formatContext(true));
    headers.set('grpc-timeout', timeout);
    headers.scheme = connections.scheme;
    const encoder = codec.newStream(this);
    this.#encoder = encoder;
    encoder.encodeHeaders(headers, false);
    encoder.encodeData(Buffer.from(request), true);
  }

  #judge(grpcStatus: string | undefined): void {
    if (!this.#isWaiting) return;
    if (grpcStatus !== '0' || this.#answer === undefined || servingStatus(this.#answer) !== 'SERVING') {
      this.#fail(FailureType.Active);
      return;
    }
    this.#isWaiting = false;
    this.#owner.onSuccess(false);
  }

  #fail(type: FailureType): void {
    if (!this.#isWaiting) return;
    this.#isWaiting = false;
    this.#owner.onFailure(type, false, 0);
  }

  #giveUpStream(): void {
    const encoder = this.#encoder;
    this.#encoder = undefined;
    encoder?.reset(ResetReason.LocalReset);
  }
}

/** Undefined: this is no answer. */
function servingStatus(bytes: Buffer): string | undefined {
  try {
    return decodeMessage(message('grpc.health.v1.HealthCheckResponse'), bytes).status;
  } catch (error) {
    if (error instanceof BinaryError) return undefined;
    throw error;
  }
}

function isGrpc(contentType: string | undefined): boolean {
  return contentType !== undefined && /^application\/grpc(?:\+|$)/.test(contentType);
}
