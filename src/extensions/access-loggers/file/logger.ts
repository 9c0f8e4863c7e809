import type { AccessLogFile } from '#extension/access-log-files.ts';
import type { AccessLogger } from '#extension/access-logger.ts';
import type { FormatContext, Formatter } from '#extension/formatter.ts';

/** Formats a line and appends it to a file. */
export class FileLogger implements AccessLogger {
  readonly #file: AccessLogFile;
  readonly #formatter: Formatter;

  constructor(file: AccessLogFile, formatter: Formatter) {
    this.#file = file;
    this.#formatter = formatter;
  }

  log(context: FormatContext): void {
    this.#file.write(this.#formatter.format(context));
  }
}
