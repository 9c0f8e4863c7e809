import type { ParseContext } from '#config/parse-context.ts';
import { defineAccessLogger } from '#extension/access-logger.ts';
import { CustomTags } from '#extension/custom-tags.ts';
import type { HttpGrpcAccessLogConfig } from '#schema/messages/envoy/extensions/access_loggers/grpc/v3.ts';
import { parseGrpcAccessLog } from '../../grpc-access-log/config.ts';
import { EntryField, logStream } from '../../grpc-access-log/log-stream.ts';
import { HttpGrpcLogger } from './logger.ts';

/** Sends an entry for each request to an access log service. */
export const httpGrpcAccessLogger = defineAccessLogger({
  kind: 'access_logger',
  name: 'envoy.access_loggers.http_grpc',
  type: 'envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig',
  parse: (config: HttpGrpcAccessLogConfig, at: ParseContext) => ({
    common: parseGrpcAccessLog(config.common_config, at.field('common_config')),
    headers: {
      request: lowerCase(config.additional_request_headers_to_log),
      response: lowerCase(config.additional_response_headers_to_log),
      trailers: lowerCase(config.additional_response_trailers_to_log),
    },
  }),
  prepare: ({ common, headers }, services) =>
    new HttpGrpcLogger(
      logStream(common, EntryField.Http, services),
      new CustomTags(common.customTags),
      headers,
    ),
});

function lowerCase(names: readonly string[]): string[] {
  return names.map((it) => it.toLowerCase());
}
