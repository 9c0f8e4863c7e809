// The rate limit service, as both filters call it.
import type { ParseContext } from '#config/parse-context.ts';
import { type GrpcServiceData, parseGrpcService, type UnaryMethod } from '#extension/grpc-service.ts';
import { durationMs } from '#extension/message-fields.ts';
import type { RateLimitServiceConfig } from '#schema/messages/envoy/config/ratelimit/v3.ts';

export const rateLimitMethod: UnaryMethod<
  'envoy.service.ratelimit.v3.RateLimitRequest',
  'envoy.service.ratelimit.v3.RateLimitResponse'
> = {
  path: '/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit',
  request: 'envoy.service.ratelimit.v3.RateLimitRequest',
  response: 'envoy.service.ratelimit.v3.RateLimitResponse',
};

/** The filter's own `timeout` counts, 20 ms unless set; that of the service does not. */
export function parseRateLimitService(
  message: RateLimitServiceConfig | undefined,
  timeout: { readonly seconds: number; readonly nanos: number } | undefined,
  at: ParseContext,
): GrpcServiceData | undefined {
  const service = message?.grpc_service;
  if (service === undefined) {
    at.field('rate_limit_service').fail('needs "grpc_service"');
    return undefined;
  }
  const here = at.field('rate_limit_service').field('grpc_service');
  return parseGrpcService(service, here, durationMs(timeout, 20));
}
