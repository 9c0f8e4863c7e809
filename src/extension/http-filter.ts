// The contract of HTTP filters: what a filter implements, and what the stream offers it. Everything here runs in a worker, on the
// request path: callbacks and small integers, no promises, no exceptions.
import type { ParseContext } from '#config/parse-context.ts';
import type { HeaderMap } from '#http/header-map.ts';
import type { FormatContext } from './formatter.ts';
import type { RateLimitPolicy } from './rate-limit-descriptors.ts';
import type { Extension, Registry } from './registry.ts';
import type { StreamInfo } from './stream-info.ts';
import type { WorkerServices } from './worker-services.ts';

/**
 * What a callback answers.
 *
 * | | on headers | on data | on trailers |
 * |---|---|---|---|
 * | Continue | go on | go on, with whatever was held before it | go on |
 * | StopIteration | later filters wait; this one still gets data and trailers | hold the data (it is buffered; too much is 413 / 500) | wait |
 * | StopAllAndBuffer | as above, but this filter gets nothing more until it continues; the body is buffered (too much is 413 / 500) | - | - |
 * | StopAllAndWatermark | the same; too much stops the sender instead of failing | hold; too much stops the sender | - |
 * | StopNoBuffer | - | the filter keeps or drops the data itself | - |
 */
export const FilterStatus = {
  Continue: 0,
  StopIteration: 1,
  StopAllAndBuffer: 2,
  StopAllAndWatermark: 3,
  StopNoBuffer: 4,
} as const;
export type FilterStatus = (typeof FilterStatus)[keyof typeof FilterStatus];

/**
 * One filter of one stream, or one instance for all streams when there is no state per request. All callbacks are optional: the
 * plan of the chain leaves out what is absent (so a callback must exist on the class, not be added later). Request callbacks run in
 * the order of the configuration, response callbacks in reverse. A filter may change headers and trailers it is given in place.
 */
export interface HttpFilter {
  decodeHeaders?(stream: HttpStream, headers: HeaderMap, endStream: boolean): FilterStatus;
  /** `data` may be kept, and must not be written to. To change it call `replaceData`. */
  decodeData?(stream: HttpStream, data: Buffer, endStream: boolean): FilterStatus;
  /** Always the end of the request. */
  decodeTrailers?(stream: HttpStream, trailers: HeaderMap): FilterStatus;
  /** The request was received completely; comes after the last of the above. */
  decodeComplete?(stream: HttpStream): void;
  encode1xx?(stream: HttpStream, headers: HeaderMap): FilterStatus;
  encodeHeaders?(stream: HttpStream, headers: HeaderMap, endStream: boolean): FilterStatus;
  encodeData?(stream: HttpStream, data: Buffer, endStream: boolean): FilterStatus;
  encodeTrailers?(stream: HttpStream, trailers: HeaderMap): FilterStatus;
  encodeComplete?(stream: HttpStream): void;
  /** A local reply is about to be made, by whomever. Look, do not touch. */
  onLocalReply?(stream: HttpStream, status: number, details: string): void;
  /** The stream has ended and its info is final; access loggers run after this. Not called for filters that were never reached. */
  onStreamComplete?(stream: HttpStream): void;
  /** Last call, exactly once: cancel timers and calls that are under way, let go of everything. */
  onDestroy?(stream: HttpStream): void;
}

/**
 * A filter on the way from the router to the upstream. One instance serves all; it changes headers and trailers of an attempt, and never
 * waits or answers.
 */
export interface UpstreamHttpFilter {
  decodeHeaders?(stream: AttemptStream, headers: HeaderMap): FilterStatus;
  decodeTrailers?(stream: AttemptStream, trailers: HeaderMap): FilterStatus;
  encodeHeaders?(stream: AttemptStream, headers: HeaderMap): FilterStatus;
  encodeTrailers?(stream: AttemptStream, trailers: HeaderMap): FilterStatus;
}

/** What such a filter knows of the request: the stream info is the request's own. */
export interface AttemptStream extends FormatContext {
  /** All levels, least specific first, for filters that add them up. Empty when there is none. */
  routeConfigs(name: string): readonly unknown[];
}

/** Called once per request; returns a shared instance, or `new ...` when there is state per request. */
export type HttpFilterFactory = () => HttpFilter;

/** The request as filters see it. Valid until `onDestroy`. */
export interface HttpStream extends AttemptStream {
  readonly info: StreamInfo;
  readonly requestHeaders: HeaderMap;
  /** They are more or longer than the connection manager takes: for filters that let a service write them. */
  requestHeadersExceedLimits(): boolean;
  /** Undefined until they came, or a local reply made them. */
  readonly responseHeaders: HeaderMap | undefined;
  /** Undefined before a matching route was asked for, and when there is none. Asking computes it once. */
  readonly route: HttpRoute | undefined;
  /** Forgets the route (and with it the cluster): the next asking matches the headers as they are then. */
  clearRouteCache(): void;
  /**
   * What `typed_per_filter_config` says here for the filter named `name` (FilterContext.name): the most specific level, as
   * `prepareRoute` returned it. Cheap when no route has any.
   */
  routeConfig(name: string): unknown;

  /** Resumes after a Stop status that `filter` returned from a request callback. `filter` is `this`: two filters may hold one stream. */
  continueDecoding(filter: HttpFilter): void;
  /** The same for response callbacks. */
  continueEncoding(filter: HttpFilter): void;
  /**
   * Answers instead of the upstream. The response passes the encode callbacks of all filters of the chain. `details` is the
   * response code detail (`rbac_access_denied`). gRPC requests get 200 with grpc-status; `grpcStatus` -1 derives it from `status`. `modify`
   * may add response headers. After this call the filter returns StopIteration and touches the stream no more.
   */
  sendLocalReply(
    status: number,
    body: string,
    details: string,
    grpcStatus?: number,
    modify?: ((headers: HeaderMap) => void) | undefined,
  ): void;
  /** Answers with these headers and no body. Unlike a local reply, neither local_reply_config nor the route changes them. */
  sendResponse(headers: HeaderMap, details: string): void;
  /** Ends the stream without (the rest of) a response. */
  resetStream(details: string): void;

  /** Body held so far by filters of this direction (Stop statuses); undefined when nothing is held. Not to be written to. */
  readonly bufferedRequestBody: readonly Buffer[] | undefined;
  readonly bufferedResponseBody: readonly Buffer[] | undefined;
  /** In decodeData / encodeData: what goes on instead of the data of this call. */
  replaceData(data: Buffer): void;
  /** Replaces the whole held body: after all of it was collected, before continuing. */
  replaceBufferedRequestBody(data: Buffer): void;
  replaceBufferedResponseBody(data: Buffer): void;
  /** Bytes a Stop status may hold; the listener's per_connection_buffer_limit_bytes unless a filter or route changed it. 0: no limit. */
  decoderBufferLimit: number;
  encoderBufferLimit: number;
  /** Adds trailers to a message that ends without; only from decodeData / encodeData with `endStream`. */
  addRequestTrailers(): HeaderMap;
  addResponseTrailers(): HeaderMap;
  /** Sends an informational response now. */
  encode1xx(headers: HeaderMap): void;

  /**
   * Sends response body on behalf of `filter`, which kept it with StopNoBuffer, through the filters before it. `endStream` ends the
   * response.
   */
  injectEncodedData(filter: HttpFilter, data: Buffer, endStream: boolean): void;
  /** Counted; the upstream is read again when every stop was taken back. */
  upstreamReadDisable(disable: boolean): void;
  /** Counted; the downstream is read again when every stop was taken back. */
  readDisable(disable: boolean): void;
  /** Not negative, fits 31 bits, the same for the whole request. */
  readonly random: number;
  /** Closes the downstream connection after this response. */
  closeAfterResponse(): void;
}

/** What a filter may know about the route. The data plane's own entry has more. */
export interface HttpRoute {
  readonly name: string;
  readonly virtualHost: {
    readonly name: string;
    readonly routeConfigName: string;
    readonly rateLimits: readonly RateLimitPolicy[];
  };
  readonly rateLimits: readonly RateLimitPolicy[];
  /** The virtual host's rate limits hold too. */
  readonly includeVirtualHostRateLimits: boolean;
  readonly clusterName: string;
  /** 0: it forwards; else it is a redirect, or an answer of our own. */
  readonly action: number;
  readonly metadata: Readonly<Record<string, Readonly<Record<string, unknown>>>> | undefined;
}

/** What a filter gets to prepare with, once per configured filter and worker. */
export interface FilterContext extends WorkerServices {
  /** The filter's name in the chain: the key of per-route configuration. */
  readonly name: string;
  /** `http.<stat_prefix>.`, with the trailing dot. */
  readonly statPrefix: string;
  readonly registry: Registry;
}

export interface HttpFilterExtension<Message = never, Config = never, RouteConfig = never>
  extends Extension<'http_filter'> {
  parse(message: Message, at: ParseContext, registry: Registry): Config;
  /** Message of `typed_per_filter_config` when it is not `type`. */
  readonly routeType?: string;
  /** Makes plain data of one level of `typed_per_filter_config`. Absent: the filter has no per-route configuration, and such is refused. */
  parseRoute?(message: never, at: ParseContext, registry: Registry): RouteConfig;
  /** The last of a chain, and only there: the router and its like. */
  readonly terminal?: boolean;
  prepare(config: Config, context: FilterContext): HttpFilterFactory;
  /** In front of `upstream_codec`. Absent: it may not stand there. */
  prepareUpstream?(config: Config, context: FilterContext): UpstreamHttpFilter;
  /** Worker, once per route table. Absent: filters get what `parseRoute` returned. */
  prepareRoute?(config: RouteConfig, context: WorkerServices): unknown;
}

/** Only carries the types. */
export function defineHttpFilter<Message, Config, RouteConfig = never>(
  extension: HttpFilterExtension<Message, Config, RouteConfig>,
): HttpFilterExtension<never, never, never> {
  return extension as unknown as HttpFilterExtension<never, never, never>;
}
