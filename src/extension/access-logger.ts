// The contract of access loggers, and of the `access_log` lists that name them: a filter and a logger each.
import type { ParseContext } from '#config/parse-context.ts';
import type { AccessLog } from '#schema/messages/envoy/config/accesslog/v3.ts';
import type { AccessLogFilter } from './access-log-filter.ts';
import {
  type AccessLogFilterData,
  compileAccessLogFilter,
  parseAccessLogFilter,
} from './access-log-filter-config.ts';
import type { FormatContext } from './formatter.ts';
import type { Configured, Extension, Registry } from './registry.ts';
import type { WorkerServices } from './worker-services.ts';

export interface AccessLogger {
  /** Hot. Called when a request, connection or session has ended, or in between as `context.logType` says. Keeps nothing. */
  log(context: FormatContext): void;
}

export interface AccessLoggerExtension<Message = never, Config = never> extends Extension<'access_logger'> {
  parse(message: Message, at: ParseContext, registry: Registry): Config;
  prepare(config: Config, context: WorkerServices): AccessLogger;
}

/** Only carries the types. */
export function defineAccessLogger<Message, Config>(
  extension: AccessLoggerExtension<Message, Config>,
): AccessLoggerExtension {
  return extension as unknown as AccessLoggerExtension;
}

/** One entry of an `access_log` list as plain data. */
export interface AccessLogData {
  readonly filter: AccessLogFilterData | undefined;
  readonly logger: Configured;
}

/** `at` stands on the list. */
export function parseAccessLogs(
  messages: readonly AccessLog[],
  at: ParseContext,
  registry: Registry,
): AccessLogData[] {
  return messages.flatMap((message, i) => {
    const here = at.index(i);
    const filter =
      message.filter === undefined ? undefined : parseAccessLogFilter(message.filter, here.field('filter'));
    const logger = registry.parse('access_logger', message, here);
    return logger === undefined ? [] : [{ filter, logger }];
  });
}

export function prepareAccessLogs(
  data: readonly AccessLogData[],
  registry: Registry,
  context: WorkerServices,
): AccessLogger[] {
  return data.map(({ filter, logger }) => {
    const extension = registry.byName<AccessLoggerExtension>('access_logger', logger.extension)!;
    const prepared = extension.prepare(logger.config as never, context);
    return filter === undefined
      ? prepared
      : new FilteredLogger(compileAccessLogFilter(filter, context.runtime), prepared);
  });
}

class FilteredLogger implements AccessLogger {
  readonly #filter: AccessLogFilter;
  readonly #logger: AccessLogger;

  constructor(filter: AccessLogFilter, logger: AccessLogger) {
    this.#filter = filter;
    this.#logger = logger;
  }

  log(context: FormatContext): void {
    if (this.#filter.passes(context)) this.#logger.log(context);
  }
}
