// `CustomTag`: values that are added to access log entries (and later to spans) under names of the user's choice.
import { utf8OfLatin1 } from '#base/utf8.ts';
import type { ParseContext } from '#config/parse-context.ts';
import type { CustomTag } from '#schema/messages/envoy/type/tracing/v3.ts';
import { checkFormat } from './format-config.ts';
import type { FormatContext, Formatter } from './formatter.ts';
import { valueAt } from './matchers/value-matcher.ts';
import { compileFormat } from './substitution/compile.ts';

export type CustomTagData = { readonly tag: string } & (
  | { readonly kind: 'literal'; readonly value: string }
  | { readonly kind: 'header'; readonly name: string; readonly fallback: string }
  | {
      readonly kind: 'metadata';
      readonly of: 'request' | 'route' | 'cluster' | 'host';
      readonly path: readonly string[];
      readonly fallback: string;
    }
  | { readonly kind: 'format'; readonly value: string }
);

/** The tags in the field `name`; `at` stands on the message that has it. Environment variables are read now. */
export function parseCustomTags(
  messages: readonly CustomTag[],
  at: ParseContext,
  name: string,
): CustomTagData[] {
  return messages.flatMap((message, i): CustomTagData[] => {
    const { tag, literal, environment, metadata, request_header: header, value } = message;
    if (literal !== undefined) return [{ tag, kind: 'literal', value: literal.value }];
    if (environment !== undefined)
      return [{ tag, kind: 'literal', value: process.env[environment.name] ?? environment.default_value }];
    if (header !== undefined)
      return [{ tag, kind: 'header', name: header.name.toLowerCase(), fallback: header.default_value }];
    if (metadata !== undefined) {
      const { kind, metadata_key: key } = metadata;
      const of = kind?.route ? 'route' : kind?.cluster ? 'cluster' : kind?.host ? 'host' : 'request';
      const path = key === undefined ? [] : [key.key, ...key.path.map((it) => it.key ?? '')];
      return [{ tag, kind: 'metadata', of, path, fallback: metadata.default_value }];
    }
    const here = at.field(name, i);
    if (value === undefined) {
      here.fail('needs one of: literal, environment, request_header, metadata, value');
      return [];
    }
    checkFormat(value, here.field('value'));
    return [{ tag, kind: 'format', value }];
  });
}

export class CustomTags {
  readonly #tags: readonly { readonly data: CustomTagData; readonly formatter: Formatter | undefined }[];

  constructor(tags: readonly CustomTagData[]) {
    this.#tags = tags.map((data) => ({
      data,
      formatter: data.kind === 'format' ? compileFormat(data.value, { omitEmptyValues: true }) : undefined,
    }));
  }

  /** Those that have a value. */
  values(context: FormatContext): Record<string, string> {
    const values: Record<string, string> = {};
    for (const { data, formatter } of this.#tags) {
      const value =
        formatter === undefined ? tagValue(data, context) : utf8OfLatin1(formatter.format(context));
      if (value !== '') values[data.tag] = value;
    }
    return values;
  }
}

function tagValue(data: CustomTagData, { info, requestHeaders }: FormatContext): string {
  switch (data.kind) {
    case 'literal':
      return data.value;
    case 'header': {
      const found = requestHeaders?.get(data.name);
      return found === undefined ? data.fallback : utf8OfLatin1(found);
    }
    case 'metadata': {
      const found = valueAt(metadataOf(data.of, info), data.path);
      if (found === undefined || found === null) return data.fallback;
      return typeof found === 'object' ? JSON.stringify(found) : String(found);
    }
    default:
      return '';
  }
}

function metadataOf(of: 'request' | 'route' | 'cluster' | 'host', info: FormatContext['info']): unknown {
  if (of === 'route') return info.routeMetadata;
  if (of === 'cluster') return info.clusterMetadata;
  return of === 'host' ? info.hostMetadata : info.dynamicMetadata;
}
