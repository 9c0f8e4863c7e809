// `GrpcService`: how an extension calls a service. Plain data from the main thread, a client per worker.
import type { ParseContext } from '#config/parse-context.ts';
import { type GrpcCallbacks, GrpcClient, type GrpcStream } from '#grpc/client.ts';
import { GrpcStatus } from '#grpc/status.ts';
import type { AsyncOptions, AsyncRetryPolicy } from '#http/async-client.ts';
import { BinaryError, decodeMessage, encodeMessage } from '#schema/binary.ts';
import type { MessageType } from '#schema/descriptor.ts';
import type { GrpcService, HeaderValue, RetryPolicy } from '#schema/messages/envoy/config/core/v3.ts';
import type { InitTypes, MessageTypes } from '#schema/messages/type-map.ts';
import { message } from '#schema/registry.ts';
import type { FormatContext } from './formatter.ts';
import { compileLevel, type HeaderMutationData, parseHeaderValueOption } from './header-mutation-config.ts';
import type { HeaderMutations } from './header-mutations.ts';
import { durationMs, onlyFields } from './message-fields.ts';
import { literalText } from './substitution/compile.ts';
import type { WorkerServices } from './worker-services.ts';

export interface GrpcServiceData {
  readonly cluster: string;
  readonly authority: string;
  /** 0: no limit. */
  readonly maxReceiveBytes: number;
  readonly initialMetadata: readonly HeaderMutationData[];
  readonly options: AsyncOptions;
}

/** `timeoutMs`: of a call, which is not always what the message says; 0 for none. Undefined: a problem was reported. */
export function parseGrpcService(
  service: GrpcService,
  at: ParseContext,
  timeoutMs: number,
): GrpcServiceData | undefined {
  const { envoy_grpc: grpc } = service;
  if (service.google_grpc !== undefined) {
    at.field('google_grpc').unsupported('is not supported by chancery: define a cluster and use envoy_grpc');
    return undefined;
  }
  if (grpc === undefined) {
    at.fail('needs one of: envoy_grpc, google_grpc');
    return undefined;
  }
  const here = at.field('envoy_grpc');
  const retryPolicy = service.retry_policy ?? grpc.retry_policy;
  return {
    cluster: grpc.cluster_name,
    authority: grpc.authority === '' ? grpc.cluster_name : grpc.authority,
    maxReceiveBytes: grpc.max_receive_message_length ?? 0,
    initialMetadata: parseHeadersToSet(service.initial_metadata, at, 'initial_metadata'),
    options: {
      timeoutMs,
      retryPolicy:
        retryPolicy &&
        parseAsyncRetryPolicy(
          retryPolicy,
          service.retry_policy === undefined ? here.field('retry_policy') : at.field('retry_policy'),
        ),
      addsInternal: !grpc.skip_envoy_headers,
      addsForwardedFor: !grpc.skip_envoy_headers,
    },
  };
}

/** For streams that belong to no request: their metadata has nothing to speak of. */
export function refuseOperators(service: GrpcService, at: ParseContext): void {
  service.initial_metadata.forEach(({ value }, i) => {
    if (literalText(value) === undefined)
      at.field('initial_metadata', i)
        .field('value')
        .unsupported('operators are not supported here by chancery');
  });
}

/** Headers that replace those of their name; values may have operators. */
export function parseHeadersToSet(
  headers: readonly HeaderValue[],
  at: ParseContext,
  name: string,
): HeaderMutationData[] {
  return headers.map((header, i) =>
    parseHeaderValueOption(
      { header, append_action: 'OVERWRITE_IF_EXISTS_OR_ADD', keep_empty_value: false },
      at.field(name, i),
    ),
  );
}

export function parseAsyncRetryPolicy(policy: RetryPolicy, at: ParseContext): AsyncRetryPolicy {
  onlyFields(policy, at, ['retry_back_off', 'num_retries', 'retry_on']);
  const { retry_back_off: backOff } = policy;
  const baseIntervalMs = Math.max(1, durationMs(backOff?.base_interval, 1000));
  const maxIntervalMs = durationMs(backOff?.max_interval, baseIntervalMs * 10);
  if (maxIntervalMs < baseIntervalMs) {
    const problem = 'retry_policy.max_interval must greater than or equal to the base_interval';
    at.field('retry_back_off').fail(problem, { envoy: problem });
  }
  return {
    retryOn: policy.retry_on,
    numRetries: policy.num_retries ?? 1,
    // As Envoy has it: an attempt may take as long as the longest back-off.
    perTryTimeoutMs: maxIntervalMs,
    baseIntervalMs,
    maxIntervalMs,
  };
}

/** Messages of a call, which are named and not imported: a worker loads the schema when a service is prepared that needs it. */
export interface UnaryMethod<Request extends keyof InitTypes, Response extends keyof MessageTypes> {
  /** `/package.Service/Method` */
  readonly path: string;
  readonly request: Request;
  readonly response: Response;
}

export interface MethodCallbacks<Response> {
  onResponse(response: Response): void;
  /** A status of gRPC that is not OK. */
  onFailure(status: number): void;
}

/** A stream of messages to a service, for those who encode them themselves. */
export class StreamClient {
  readonly #client: GrpcClient;
  readonly #metadata: HeaderMutations | null;
  readonly #path: string;

  /** `path`: `/package.Service/Method` */
  constructor(data: GrpcServiceData, path: string, services: WorkerServices) {
    this.#client = new GrpcClient(data, data.options, services.asyncClient);
    this.#metadata = compileLevel(data.initialMetadata);
    this.#path = path;
  }

  /** `context`: what the initial metadata may speak of; see `refuseOperators` for streams that belong to nobody's request. */
  start(context: FormatContext, callbacks: GrpcCallbacks): GrpcStream {
    const headers = this.#client.headers(this.#path);
    this.#metadata?.apply(headers, context);
    return this.#client.stream(headers, callbacks);
  }
}

/** A method of a service as a worker calls it. */
export class MethodClient<
  Request extends keyof InitTypes & keyof MessageTypes,
  Response extends keyof MessageTypes,
> {
  readonly #client: GrpcClient;
  readonly #metadata: HeaderMutations | null;
  readonly #path: string;
  readonly #request: MessageType<MessageTypes[Request]>;
  readonly #response: MessageType<MessageTypes[Response]>;

  constructor(data: GrpcServiceData, method: UnaryMethod<Request, Response>, services: WorkerServices) {
    this.#client = new GrpcClient(data, data.options, services.asyncClient);
    this.#metadata = compileLevel(data.initialMetadata);
    this.#path = method.path;
    this.#request = message(method.request);
    this.#response = message(method.response);
  }

  /** `context`: what the initial metadata may speak of. Callbacks may come before this returns; none comes after `cancel` of the answer. */
  call(
    request: InitTypes[Request],
    context: FormatContext,
    callbacks: MethodCallbacks<MessageTypes[Response]>,
  ): GrpcStream {
    const headers = this.#client.headers(this.#path);
    this.#metadata?.apply(headers, context);
    const bytes = encodeMessage(this.#request, request as object);
    return this.#client.unary(headers, bytes, {
      onResponse: (answer) => {
        const response = decode(this.#response, answer);
        if (response === undefined) callbacks.onFailure(GrpcStatus.Internal);
        else callbacks.onResponse(response);
      },
      onFailure: (status) => callbacks.onFailure(status),
    });
  }
}

/** Undefined for bytes that are not such a message. */
function decode<T extends object>(type: MessageType<T>, bytes: Buffer): T | undefined {
  try {
    return decodeMessage(type, bytes);
  } catch (error) {
    if (error instanceof BinaryError) return undefined;
    throw error;
  }
}
