// A health check by a request over HTTP/1 or HTTP/2.
import { compileStringMatcher } from '#extension/matchers/compile.ts';
import { compileLevel } from '#extension/header-mutation-config.ts';
import type { HeaderMutations } from '#extension/header-mutations.ts';
import type { StringMatcher } from '#extension/matchers/string-matcher.ts';
import type { ClientCodec, ClientCodecOwner, StreamDecoder } from '#http/codec.ts';
import { HeaderMap } from '#http/header-map.ts';
import type { Connection, ConnectionOwner } from '#net/connection.ts';
import { CheckClient, type CheckClientOwner } from './check-client.ts';
import type { CheckShared } from './host-check.ts';
import type { HttpProbeConfig, StatusRange } from './health-check-config.ts';
import { FailureType, hasParts, type Probe, type ProbeOwner } from './probe.ts';
import type { ProbeConnections } from './probe-connections.ts';

/** Of all hosts of a check. */
export class HttpProbeShared {
  readonly config: HttpProbeConfig;
  readonly check: CheckShared;
  readonly headers: HeaderMutations | null;
  readonly serviceName: StringMatcher | undefined;

  constructor(config: HttpProbeConfig, check: CheckShared) {
    this.config = config;
    this.check = check;
    this.headers = compileLevel(config.headers);
    this.serviceName = config.serviceName && compileStringMatcher(config.serviceName);
  }

  get verifiesName(): boolean {
    const { runtime, random } = this.check;
    return (
      this.serviceName !== undefined && random(100) < runtime.integer('health_check.verify_cluster', 100)
    );
  }
}

export class HttpProbe implements Probe, CheckClientOwner, StreamDecoder {
  readonly #shared: HttpProbeShared;
  readonly #connections: ProbeConnections;
  readonly #owner: ProbeOwner;
  readonly #client = new CheckClient(this);
  #isWaiting = false;
  #closesAfter = false;
  #headers: HeaderMap | undefined = undefined;
  #body: Buffer[] = [];
  #bodyBytes = 0;

  constructor(shared: HttpProbeShared, connections: ProbeConnections, owner: ProbeOwner) {
    this.#shared = shared;
    this.#connections = connections;
    this.#owner = owner;
  }

  start(): void {
    this.#isWaiting = true;
    this.#headers = undefined;
    this.#body = [];
    this.#bodyBytes = 0;
    const codec = this.#client.connect();
    if (codec !== undefined) this.#send(codec);
  }

  onTimeout(): void {
    this.close();
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
    const { usesAlpn, isHttp2 } = this.#shared.config;
    const alpn = usesAlpn ? connection.applicationProtocol : '';
    return this.#connections.newCodec(connection, owner, alpn === '' ? isHttp2 : alpn === 'h2');
  }

  onReady(codec: ClientCodec): void {
    if (this.#isWaiting) this.#send(codec);
  }

  onStreamOver(reusable: boolean): void {
    if (!reusable || this.#closesAfter) this.#client.close();
  }

  onGoAway(isError: boolean): void {
    if (this.#isWaiting && !isError) {
      this.#closesAfter = true;
      return;
    }
    this.#fail();
    this.#client.close();
  }

  onGone(): void {
    this.#fail();
  }

  // StreamDecoder -----------------------------------------------------------------------------------------------------------

  decode1xx(): void {}

  decodeHeaders(headers: HeaderMap, endStream: boolean): void {
    this.#headers = headers;
    if (endStream) this.#judge();
  }

  decodeData(data: Buffer, endStream: boolean): void {
    const { receive, bufferBytes } = this.#shared.config;
    if (receive.length > 0) {
      const room = bufferBytes === 0 ? data.length : bufferBytes - this.#bodyBytes;
      if (room > 0) {
        // A copy: memory of reads goes around.
        this.#body.push(Buffer.from(data.subarray(0, room)));
        this.#bodyBytes += Math.min(room, data.length);
      }
    }
    if (endStream) this.#judge();
  }

  decodeTrailers(): void {
    this.#judge();
  }

  onReset(): void {
    if (this.#closesAfter) this.#client.close();
    this.#fail();
  }

  onAboveWriteBufferHighWatermark(): void {}

  onBelowWriteBufferLowWatermark(): void {}

  #send(codec: ClientCodec): void {
    const { config, headers: mutations } = this.#shared;
    const connections = this.#connections;
    const headers = new HeaderMap();
    headers.method = config.method;
    headers.authority = connections.hostname(config.host);
    headers.path = config.path;
    headers.scheme = connections.scheme;
    headers.add('user-agent', 'Envoy/HC');
    const encoder = codec.newStream(this);
    mutations?.apply(headers, connections.formatContext(codec.protocol === 'HTTP/2'));
    const { send } = config;
    const hasBody = send !== undefined && send.length > 0;
    if (hasBody) headers.set('content-length', String(send.length));
    encoder.encodeHeaders(headers, !hasBody);
    if (hasBody) encoder.encodeData(Buffer.from(send), true);
  }

  #judge(): void {
    if (!this.#isWaiting) return;
    this.#isWaiting = false;
    const { config, check } = this.#shared;
    const headers = this.#headers!;
    const { status } = headers;
    const matches = config.receive.length === 0 || hasParts(Buffer.concat(this.#body), config.receive);
    if (!matches || !isWithin(status, config.expected)) {
      if (headers.has('x-envoy-immediate-health-check-fail')) this.#owner.onImmediateFail();
      this.#owner.onFailure(FailureType.Active, matches && isWithin(status, config.retriable), status);
      return;
    }
    if (this.#shared.verifiesName) {
      check.stats.verifyCluster.value++;
      const name = headers.get('x-envoy-upstream-healthchecked-cluster') ?? '';
      if (!this.#shared.serviceName!.matches(name)) {
        this.#owner.onFailure(FailureType.Active, false, status);
        return;
      }
    }
    this.#owner.onSuccess(headers.has('x-envoy-degraded'));
  }

  #fail(): void {
    if (!this.#isWaiting) return;
    this.#isWaiting = false;
    this.#owner.onFailure(FailureType.Network, false, 0);
  }
}

function isWithin(status: number, ranges: readonly StatusRange[]): boolean {
  return ranges.some(([start, end]) => status >= start && status < end);
}
