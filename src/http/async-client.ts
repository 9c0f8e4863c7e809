// The contract of requests that no downstream has sent: calls of filters to their services, mirrors. The data plane implements it over
// its clusters: load balancing, pools, circuit breakers, retries and statistics are those of any request.
import type { HeaderMap } from './header-map.ts';

/** As envoy.config.core.v3.RetryPolicy says. */
export interface AsyncRetryPolicy {
  /** `5xx,unavailable` and so on. */
  readonly retryOn: string;
  readonly numRetries: number;
  /** Of each attempt; 0: none. */
  readonly perTryTimeoutMs: number;
  readonly baseIntervalMs: number;
  readonly maxIntervalMs: number;
}

export interface AsyncOptions {
  /** From the end of the request until the end of the response; 0: none. */
  readonly timeoutMs: number;
  readonly retryPolicy: AsyncRetryPolicy | undefined;
  /** x-envoy-internal: the request counts as internal. */
  readonly addsInternal: boolean;
  /** The proxy's own address in x-forwarded-for. */
  readonly addsForwardedFor: boolean;
  /** x-envoy-expected-rq-timeout-ms. Without it: yes. */
  readonly addsExpectedTimeout?: boolean;
  /** Its codes and times count for the cluster. Without it: yes. */
  readonly countsCodes?: boolean;
}

export interface AsyncClient {
  /** Undefined: there is no such cluster. Nothing is sent before `sendHeaders`. */
  start(cluster: string, options: AsyncOptions, callbacks: AsyncCallbacks): AsyncStream | undefined;
}

export interface AsyncStream {
  /** The stream adds to the headers and keeps them. Callbacks may come from inside this call, when no upstream is to be had. */
  sendHeaders(headers: HeaderMap, endStream: boolean): void;
  /** Kept until a connection is there, and as long as a retry may need it. */
  sendData(data: Buffer, endStream: boolean): void;
  sendTrailers(trailers: HeaderMap): void;
  /** Ends it without another callback. Changes nothing when it has ended. */
  reset(): void;
  /** The upstream takes no more for now: who has a choice sends nothing. */
  readonly isBackedUp: boolean;
}

/** A request that the proxy answers itself (no healthy upstream, a timeout) gets an answer like any other: 503, 504. */
export interface AsyncCallbacks {
  onHeaders(headers: HeaderMap, endStream: boolean): void;
  onData(data: Buffer, endStream: boolean): void;
  onTrailers(trailers: HeaderMap): void;
  /** The response broke off. The last call, as is an end of the stream. */
  onReset(): void;
  /** As `isBackedUp`. */
  onBackedUp?(isBackedUp: boolean): void;
}
