import type { ParseContext } from '#config/parse-context.ts';
import type { RequestIdConfig, RequestIdExtension } from '#extension/request-id.ts';
import type { UuidRequestIdConfig } from '#schema/messages/envoy/extensions/request_id/uuid/v3.ts';

export const uuidRequestId = {
  kind: 'request_id',
  name: 'envoy.request_id.uuid',
  type: 'envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig',
  // `use_request_id_for_trace_sampling` is about traces, which are not supported yet.
  parse: (message: UuidRequestIdConfig, _at: ParseContext): RequestIdConfig => ({
    packTraceReason: message.pack_trace_reason ?? true,
  }),
} satisfies RequestIdExtension<UuidRequestIdConfig> as unknown as RequestIdExtension;
