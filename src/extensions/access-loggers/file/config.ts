import type { ParseContext } from '#config/parse-context.ts';
import { openProblem } from '#extension/access-log-files.ts';
import { defaultAccessLogFormat, parseLogFormat, textFormat } from '#extension/access-log-format.ts';
import { checkFormat, type FormatData } from '#extension/format-config.ts';
import { jsonFormatProblems } from '#extension/substitution/compile.ts';
import type { FileAccessLog } from '#schema/messages/envoy/extensions/access_loggers/file/v3.ts';

/** Also what the stdout and stderr loggers are made from: files with fixed names. */
export interface FileLoggerConfig {
  readonly path: string;
  readonly format: FormatData;
}

export function parseFileAccessLog(message: FileAccessLog, at: ParseContext): FileLoggerConfig {
  const problem = openProblem(message.path);
  if (problem !== undefined) at.field('path').fail(problem, { got: message.path, envoy: problem });
  return { path: message.path, format: parseFormat(message, at) };
}

/** `log_format`, or one of the fields that it replaced. */
function parseFormat(message: FileAccessLog, at: ParseContext): FormatData {
  const { format, json_format: json, typed_json_format: typed } = message;
  if (format !== undefined) {
    checkFormat(format, at.field('format'));
    return textFormat(format === '' ? defaultAccessLogFormat : format);
  }
  const name = json === undefined ? 'typed_json_format' : 'json_format';
  const fields = json ?? typed;
  if (fields === undefined) return parseLogFormat(message.log_format, at);
  for (const { path, problem } of jsonFormatProblems(fields)) {
    let here = at.field(name);
    for (const key of path) here = here.field(key);
    here.fail(problem);
  }
  return { text: undefined, json: fields, omitEmptyValues: false, contentType: '', commands: [] };
}
