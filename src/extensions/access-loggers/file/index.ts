import { defineAccessLogger } from '#extension/access-logger.ts';
import { compileFormatData } from '#extension/format-config.ts';
import { parseFileAccessLog } from './config.ts';
import { FileLogger } from './logger.ts';

export const fileAccessLogger = defineAccessLogger({
  kind: 'access_logger',
  name: 'envoy.access_loggers.file',
  type: 'envoy.extensions.access_loggers.file.v3.FileAccessLog',
  parse: parseFileAccessLog,
  prepare: (config, context) =>
    new FileLogger(context.accessLogFiles.file(config.path), compileFormatData(config.format)),
});
