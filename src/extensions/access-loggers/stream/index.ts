import type { ParseContext } from '#config/parse-context.ts';
import { parseLogFormat } from '#extension/access-log-format.ts';
import { defineAccessLogger } from '#extension/access-logger.ts';
import { compileFormatData } from '#extension/format-config.ts';
import type {
  StderrAccessLog,
  StdoutAccessLog,
} from '#schema/messages/envoy/extensions/access_loggers/stream/v3.ts';
import type { FileLoggerConfig } from '../file/config.ts';
import { FileLogger } from '../file/logger.ts';

function define(stream: 'stdout' | 'stderr', type: string) {
  return defineAccessLogger({
    kind: 'access_logger',
    name: `envoy.access_loggers.${stream}`,
    type,
    parse: (message: StdoutAccessLog | StderrAccessLog, at: ParseContext): FileLoggerConfig => ({
      path: `/dev/${stream}`,
      format: parseLogFormat(message.log_format, at),
    }),
    prepare: (config, context) =>
      new FileLogger(context.accessLogFiles.file(config.path), compileFormatData(config.format)),
  });
}

export const stdoutAccessLogger = define(
  'stdout',
  'envoy.extensions.access_loggers.stream.v3.StdoutAccessLog',
);
export const stderrAccessLogger = define(
  'stderr',
  'envoy.extensions.access_loggers.stream.v3.StderrAccessLog',
);
