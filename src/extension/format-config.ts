// `SubstitutionFormatString` as plain data, and how it is compiled.
import type { ParseContext } from '#config/parse-context.ts';
import type {
  SubstitutionFormatString,
  TypedExtensionConfig,
} from '#schema/messages/envoy/config/core/v3.ts';
import type { Cel } from '#schema/messages/envoy/extensions/formatter/cel/v3.ts';
import { celOptions, celWords } from './cel/cel-config.ts';
import { readDataSource } from './data-source.ts';
import type { Formatter } from './formatter.ts';
import { typeOf } from './registry.ts';
import {
  compileFormat,
  compileJsonFormat,
  formatProblem,
  type JsonFormat,
  jsonFormatProblems,
} from './substitution/compile.ts';

export interface FormatData {
  /** Undefined: `json` is the format. */
  readonly text: string | undefined;
  readonly json: JsonFormat | undefined;
  readonly omitEmptyValues: boolean;
  /** Empty: text/plain, or application/json for a JSON format. */
  readonly contentType: string;
  /** Commands of the `formatters` listed. */
  readonly commands: readonly string[];
}

/** Formatter extensions by the type of their message, and the commands they bring. METADATA is always there. */
const commandsOfFormatter: Readonly<Record<string, readonly string[]>> = {
  'envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery': ['REQ_WITHOUT_QUERY'],
  'envoy.extensions.formatter.metadata.v3.Metadata': [],
};

const celFormatter = 'envoy.extensions.formatter.cel.v3.Cel';

export function parseFormatString(message: SubstitutionFormatString, at: ParseContext): FormatData {
  const commands = parseFormatters(message.formatters, at.field('formatters'));
  let text = message.text_format;
  if (message.text_format_source !== undefined)
    text = readDataSource(message.text_format_source, at.field('text_format_source'))?.toString('utf8') ?? '';
  const json = message.json_format as JsonFormat | undefined;
  if (text !== undefined)
    checkFormat(text, message.text_format === undefined ? at : at.field('text_format'), commands);
  else if (json !== undefined) {
    for (const { path, problem } of jsonFormatProblems(json, commands)) {
      let here = at.field('json_format');
      for (const key of path) here = here.field(key);
      here.fail(problem);
    }
  }
  return {
    text: json === undefined ? (text ?? '') : undefined,
    json,
    omitEmptyValues: message.omit_empty_values,
    contentType: message.content_type,
    commands,
  };
}

/** The commands that a list of formatters brings. `at` stands on the list. */
export function parseFormatters(formatters: readonly TypedExtensionConfig[], at: ParseContext): string[] {
  return formatters.flatMap((formatter, i) => {
    const type = typeOf(formatter.typed_config);
    if (type === celFormatter)
      return celWords(celOptions((formatter.typed_config as unknown as Cel).cel_config));
    const found = commandsOfFormatter[type];
    if (found === undefined)
      at.index(i).unsupported(`formatter "${formatter.name}" is not supported by chancery`);
    return found ?? [];
  });
}

/** Reports a format string that cannot be compiled. */
export function checkFormat(text: string, at: ParseContext, commands: readonly string[] = []): void {
  const problem = formatProblem(text, commands);
  if (problem !== undefined) at.fail(problem, { got: text, envoy: problem });
}

export function compileFormatData(data: FormatData): Formatter {
  const options = { omitEmptyValues: data.omitEmptyValues, extensions: data.commands };
  return data.json === undefined
    ? compileFormat(data.text ?? '', options)
    : compileJsonFormat(data.json, options);
}
