// Access logs of dns_filter know six operators of their own and none of the others. They read what the filter writes as dynamic
// metadata, and so they are turned into the operator that reads it.
import type { ParseContext } from '#config/parse-context.ts';
import { readDataSource } from '#extension/data-source.ts';
import type { AccessLog } from '#schema/messages/envoy/config/accesslog/v3.ts';
import type { SubstitutionFormatString } from '#schema/messages/envoy/config/core/v3.ts';
import type { FileAccessLog } from '#schema/messages/envoy/extensions/access_loggers/file/v3.ts';

export const metadataNamespace = 'envoy.filters.udp.dns_filter';

const operators: Readonly<Record<string, string>> = {
  QUERY_NAME: 'query_name',
  QUERY_TYPE: 'query_type',
  QUERY_CLASS: 'query_class',
  ANSWER_COUNT: 'answer_count',
  RESPONSE_CODE: 'response_code',
  PARSE_STATUS: 'parse_status',
};

/** `at` stands on the list. Formats that name other operators are reported. */
export function withMetadataOperators(logs: readonly AccessLog[], at: ParseContext): AccessLog[] {
  return logs.map((it, i) => {
    const config = it.typed_config as unknown as Partial<FileAccessLog> | undefined;
    if (config === undefined) return it;
    const here = at.index(i).field('typed_config');
    const rewritten = {
      ...config,
      ...(config.format === undefined ? {} : { format: rewriteText(config.format, here.field('format')) }),
      ...(config.log_format === undefined
        ? {}
        : { log_format: rewriteFormat(config.log_format, here.field('log_format')) }),
      ...(config.json_format === undefined
        ? {}
        : { json_format: rewriteValue(config.json_format, here.field('json_format')) }),
      ...(config.typed_json_format === undefined
        ? {}
        : { typed_json_format: rewriteValue(config.typed_json_format, here.field('typed_json_format')) }),
    };
    // Defaults come through the prototype.
    const logger = Object.assign(Object.create(Object.getPrototypeOf(config)), rewritten);
    return Object.assign(Object.create(Object.getPrototypeOf(it)), it, { typed_config: logger });
  });
}

function rewriteFormat(message: SubstitutionFormatString, at: ParseContext): SubstitutionFormatString {
  const { text_format: text, text_format_source: source, json_format: json } = message;
  const changes: Record<string, unknown> = {};
  if (text !== undefined) changes.text_format = rewriteText(text, at.field('text_format'));
  if (source !== undefined) {
    const bytes = readDataSource(source, at.field('text_format_source'));
    changes.text_format_source = {
      inline_string: rewriteText(bytes?.toString('utf8') ?? '', at.field('text_format_source')),
    };
  }
  if (json !== undefined) changes.json_format = rewriteValue(json, at.field('json_format'));
  return Object.assign(Object.create(Object.getPrototypeOf(message)), message, changes);
}

function rewriteValue(value: unknown, at: ParseContext): unknown {
  if (typeof value === 'string') return rewriteText(value, at);
  if (Array.isArray(value)) return value.map((it, i) => rewriteValue(it, at.index(i)));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, it]) => [key, rewriteValue(it, at.field(key))]));
}

/** `%%` is a percent sign. Parameters and lengths have no effect, as in Envoy. */
function rewriteText(text: string, at: ParseContext): string {
  return text.replace(/%%|%([A-Z0-9_]+)(?:\([^)]*\))?(?::\d+)?%/g, (all, name?: string) => {
    if (name === undefined) return all;
    const field = operators[name];
    if (field !== undefined) return `%DYNAMIC_METADATA(${metadataNamespace}:${field})%`;
    const problem = `Invalid format substitution: ${name}`;
    at.fail(problem, { got: text, envoy: problem });
    return '';
  });
}
