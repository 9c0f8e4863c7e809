// A session's way through an HTTP proxy: a CONNECT or POST on a connection of the cluster's pool, whose body is the bytes.
import { randomUUID } from 'node:crypto';
import type { FilterState } from '#extension/filter-state.ts';
import type { FormatContext } from '#extension/formatter.ts';
import type { FilterStateObject } from '#extension/stream-info.ts';
import { type ByteCounts, noByteCounts } from '#http/byte-counts.ts';
import type { StreamEncoder } from '#http/codec.ts';
import { ResetReason } from '#http/codec.ts';
import { HeaderMap } from '#http/header-map.ts';
import { headerProblem, isHeaderValue } from '#http/header-validity.ts';
import { CloseType } from '#net/connection.ts';
import type { RequestUpstreamInfo } from '../http/request-info.ts';
import type { HttpPool, PoolClient, PooledConnection } from '../upstream/http-pool.ts';
import type { SessionUpstream, UpstreamOwner } from './session-upstream.ts';
import type { Tunnel, TunnelConfig } from './tunnel-config.ts';

const responseHeadersKey = 'envoy.tcp_proxy.propagate_response_headers';
const responseTrailersKey = 'envoy.tcp_proxy.propagate_response_trailers';

export class HttpTunnel implements SessionUpstream, PoolClient {
  isConnected = false;
  isGone = false;
  hasEnded = false;
  readonly isFlushing = false;
  readonly #session: UpstreamOwner & FormatContext;
  readonly #pool: HttpPool;
  readonly #tunnel: Tunnel;
  readonly #info: RequestUpstreamInfo;
  readonly #filterState: FilterState;
  /** Undefined while it waits for a stream. */
  #encoder: StreamEncoder | undefined = undefined;
  #connection: PooledConnection | undefined = undefined;
  #isHttp2 = false;
  #hasFinished = false;

  constructor(
    session: UpstreamOwner & FormatContext,
    pool: HttpPool,
    tunnel: Tunnel,
    info: RequestUpstreamInfo,
    filterState: FilterState,
  ) {
    this.#session = session;
    this.#pool = pool;
    this.#tunnel = tunnel;
    this.#info = info;
    this.#filterState = filterState;
  }

  /** Envoy counts what the codec writes and reads, and the payload once more. */
  get ownBytes(): Readonly<ByteCounts> {
    return this.#encoder ?? noByteCounts;
  }

  open(): void {
    this.#pool.newStream(this);
  }

  write(data: Buffer): void {
    this.#encoder!.encodeData(data, false);
  }

  end(): void {
    if (this.isGone || this.#hasFinished) return;
    this.#hasFinished = true;
    this.#encoder!.encodeData(noBytes, true);
    // HTTP/1 has no end of one side: the connection closes when everything is sent.
    if (!this.#isHttp2 && !this.isGone) this.#connection!.connection!.close(CloseType.FlushWrite);
    else if (this.hasEnded) this.#gone(false);
  }

  close(): void {
    this.#reset();
  }

  closeEnded(): void {
    this.#reset();
  }

  /** The pool has its own timeout. */
  abandon(): void {}

  readDisable(disable: boolean): void {
    if (!this.isGone) this.#encoder?.readDisable(disable);
  }

  // PoolClient --------------------------------------------------------------------------------------------------------------

  onPoolReady(encoder: StreamEncoder, connection: PooledConnection): void {
    const { config, hostname, headersToAdd } = this.#tunnel;
    this.#encoder = encoder;
    this.#connection = connection;
    this.#isHttp2 = connection.codec!.protocol === 'HTTP/2';
    const headers = new HeaderMap();
    headers.authority = hostname.format(this.#session);
    headers.method = 'CONNECT';
    if (config.postPath !== '') {
      headers.method = 'POST';
      headers.path = config.postPath;
      if (this.#isHttp2) headers.scheme = connection.tls === undefined ? 'http' : 'https';
    }
    headersToAdd?.apply(headers, this.#session);
    if (config.requestId !== undefined) this.#addId(headers, config.requestId);
    if (!isHeaderValue(headers.authority)) headers.isUnchecked = true;
    const problem = headers.isUnchecked ? headerProblem(headers) : '';
    if (problem === '') {
      encoder.encodeHeaders(headers, false);
      return;
    }
    this.#reset();
    this.#session.onConnectFailed(problem, false);
  }

  #addId(headers: HeaderMap, { header, metadataKey }: NonNullable<TunnelConfig['requestId']>): void {
    const { info } = this.#session;
    const id = randomUUID();
    headers.set(header, id);
    info.dynamicMetadata ??= {};
    info.dynamicMetadata['envoy.filters.network.tcp_proxy'] = { [metadataKey]: id };
  }

  onPoolFailure(reason: ResetReason, details: string): void {
    this.isGone = true;
    this.#session.onConnectFailed(details, reason !== ResetReason.Overflow);
  }

  decodeHeaders(headers: HeaderMap, endStream: boolean): void {
    if (this.isGone) return;
    if (this.#tunnel.config.keepsHeaders) this.#filterState.set(responseHeadersKey, stateOf(headers));
    const { status } = headers;
    const isAccepted = this.#isHttp2 ? status === 200 : status >= 200 && status < 300;
    if (!isAccepted || endStream) {
      this.#reset();
      this.#session.onConnectFailed(`tunnel_response:${status}`, true);
      return;
    }
    const info = this.#info;
    const connection = this.#connection!;
    info.connectionId = connection.id;
    info.localAddress = connection.localAddress;
    info.connectStartMs = connection.connectStartMs;
    info.connectEndMs = connection.connectEndMs;
    info.tls = connection.tls;
    info.filterState = this.#pool.options?.shared;
    this.isConnected = true;
    this.#session.onUpstreamConnected(this);
  }

  decode1xx(): void {}

  decodeData(data: Buffer, endStream: boolean): void {
    if (this.isGone) return;
    if (data.length > 0) this.#session.onUpstreamData(data);
    if (endStream) this.#ended();
  }

  decodeTrailers(trailers: HeaderMap): void {
    if (this.isGone) return;
    if (this.#tunnel.config.keepsTrailers) this.#filterState.set(responseTrailersKey, stateOf(trailers));
    this.#ended();
  }

  onReset(reason: ResetReason): void {
    if (this.isGone) return;
    this.#connection?.countReset(reason);
    // Of a connection that breaks off Envoy tells the client no more than that it has ended.
    if (this.isConnected)
      this.#gone(reason === ResetReason.RemoteReset || reason === ResetReason.RemoteRefusedStreamReset);
    else {
      this.isGone = true;
      this.#session.onConnectFailed('', true);
    }
  }

  onAboveWriteBufferHighWatermark(): void {
    if (!this.isGone) this.#session.onUpstreamWatermark(true);
  }

  onBelowWriteBufferLowWatermark(): void {
    if (!this.isGone) this.#session.onUpstreamWatermark(false);
  }

  #ended(): void {
    this.hasEnded = true;
    // The body of a CONNECT over HTTP/1 ends with its connection.
    if (this.#hasFinished || (!this.#isHttp2 && this.#tunnel.config.postPath === '')) this.#gone(false);
    else this.#session.onUpstreamEnd();
  }

  #gone(wasReset: boolean): void {
    if (this.isGone) return;
    this.isGone = true;
    if (wasReset) this.#info.detectedCloseType = 'RemoteReset';
    this.#session.onUpstreamGone(wasReset);
  }

  #reset(): void {
    if (this.isGone) return;
    this.isGone = true;
    if (this.#encoder === undefined) this.#pool.cancel(this);
    else if (!this.hasEnded || !this.#hasFinished) this.#connection!.resetStream(this.#encoder);
  }
}

const noBytes = Buffer.alloc(0);

/** Headers of a response, for `%FILTER_STATE(...)%`. */
function stateOf(headers: HeaderMap): FilterStateObject {
  const all: { key: string; value: string }[] = [];
  if (headers.status !== 0) all.push({ key: ':status', value: String(headers.status) });
  for (let i = 0; i < headers.list.length; i += 2)
    all.push({ key: headers.list[i]!, value: headers.list[i + 1]! });
  return { text: '', field: () => undefined, typed: { headers: all } };
}
