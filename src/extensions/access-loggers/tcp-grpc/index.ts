import type { ParseContext } from '#config/parse-context.ts';
import { type AccessLogger, defineAccessLogger } from '#extension/access-logger.ts';
import { CustomTags } from '#extension/custom-tags.ts';
import type { FormatContext } from '#extension/formatter.ts';
import { encodeMessage } from '#schema/binary.ts';
import type { TCPAccessLogEntryInit } from '#schema/messages/envoy/data/accesslog/v3.ts';
import type { TcpGrpcAccessLogConfig } from '#schema/messages/envoy/extensions/access_loggers/grpc/v3.ts';
import { message } from '#schema/registry.ts';
import { commonProperties } from '../../grpc-access-log/common-properties.ts';
import { parseGrpcAccessLog } from '../../grpc-access-log/config.ts';
import { EntryField, type LogStream, logStream } from '../../grpc-access-log/log-stream.ts';

/** Sends an entry for each connection to an access log service. */
export const tcpGrpcAccessLogger = defineAccessLogger({
  kind: 'access_logger',
  name: 'envoy.access_loggers.tcp_grpc',
  type: 'envoy.extensions.access_loggers.grpc.v3.TcpGrpcAccessLogConfig',
  parse: (config: TcpGrpcAccessLogConfig, at: ParseContext) =>
    parseGrpcAccessLog(config.common_config, at.field('common_config')),
  prepare: (config, services) =>
    new TcpGrpcLogger(logStream(config, EntryField.Tcp, services), new CustomTags(config.customTags)),
});

class TcpGrpcLogger implements AccessLogger {
  readonly #stream: LogStream;
  readonly #tags: CustomTags;
  readonly #type = message('envoy.data.accesslog.v3.TCPAccessLogEntry');

  constructor(stream: LogStream, tags: CustomTags) {
    this.#stream = stream;
    this.#tags = tags;
  }

  log(context: FormatContext): void {
    const entry: TCPAccessLogEntryInit = {
      common_properties: commonProperties(context, this.#tags),
      connection_properties: {
        received_bytes: context.info.bytesReceived,
        sent_bytes: context.info.bytesSent,
      },
    };
    this.#stream.write(encodeMessage(this.#type, entry));
  }
}
