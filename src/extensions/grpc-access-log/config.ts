// Plain configuration that the HTTP and TCP loggers over gRPC share.
import type { ParseContext } from '#config/parse-context.ts';
import { type CustomTagData, parseCustomTags } from '#extension/custom-tags.ts';
import {
  type GrpcServiceData,
  parseAsyncRetryPolicy,
  parseGrpcService,
  refuseOperators,
} from '#extension/grpc-service.ts';
import { durationMs } from '#extension/message-fields.ts';
import type { CommonGrpcAccessLogConfig } from '#schema/messages/envoy/extensions/access_loggers/grpc/v3.ts';

export interface GrpcAccessLogConfig {
  readonly logName: string;
  readonly service: GrpcServiceData | undefined;
  readonly flushIntervalMs: number;
  /** 0: every entry is sent at once. */
  readonly bufferBytes: number;
  readonly customTags: readonly CustomTagData[];
}

export function parseGrpcAccessLog(
  message: CommonGrpcAccessLogConfig | undefined,
  at: ParseContext,
): GrpcAccessLogConfig {
  if (message?.grpc_service === undefined) at.fail('needs "grpc_service"');
  if (message !== undefined && message.filter_state_objects_to_log.length > 0)
    at.field('filter_state_objects_to_log').warn('is not acted on by chancery yet', { rule: 'unsupported' });
  return {
    logName: message?.log_name ?? '',
    service: message && parseService(message, at),
    flushIntervalMs: durationMs(message?.buffer_flush_interval, 1000),
    bufferBytes: message?.buffer_size_bytes ?? 16_384,
    customTags: parseCustomTags(message?.custom_tags ?? [], at, 'custom_tags'),
  };
}

/** A stream has no timeout; how it is retried is said beside the service. */
function parseService(message: CommonGrpcAccessLogConfig, at: ParseContext): GrpcServiceData | undefined {
  const { grpc_service: grpc, grpc_stream_retry_policy: retries } = message;
  const service = grpc && parseGrpcService(grpc, at.field('grpc_service'), 0);
  if (grpc !== undefined) refuseOperators(grpc, at.field('grpc_service'));
  if (service === undefined || retries === undefined) return service;
  const policy = parseAsyncRetryPolicy(retries, at.field('grpc_stream_retry_policy'));
  return { ...service, options: { ...service.options, retryPolicy: { ...policy, perTryTimeoutMs: 0 } } };
}
