// Whether a host did well with a gRPC request, as its counters say.
import type { HeaderMap } from '#http/header-map.ts';
import type { UpstreamHost } from '../upstream/host.ts';

/** Statuses that are no 5xx in HTTP. */
const good: ReadonlySet<string> = new Set(['0', '1', '3', '5', '6', '7', '8', '9', '10', '11', '16']);

/** `headers`: what the response ended with. */
export function countGrpcStatus(host: UpstreamHost, headers: HeaderMap): void {
  if (good.has(headers.get('grpc-status') ?? '')) host.rqSuccess.value++;
  else host.rqError.value++;
}
