// `local_reply_config`: the first mapper whose filter passes changes status, headers and body of a local reply; a format then makes
// the text of it.
import type { ParseContext } from '#config/parse-context.ts';
import type { AccessLogFilter } from '#extension/access-log-filter.ts';
import {
  type AccessLogFilterData,
  compileAccessLogFilter,
  parseAccessLogFilter,
} from '#extension/access-log-filter-config.ts';
import { readDataSource } from '#extension/data-source.ts';
import { compileFormatData, type FormatData, parseFormatString } from '#extension/format-config.ts';
import type { Formatter } from '#extension/formatter.ts';
import {
  compileLevel,
  type HeaderMutationData,
  parseHeaderValueOption,
} from '#extension/header-mutation-config.ts';
import type { HeaderMutations } from '#extension/header-mutations.ts';
import type { Runtime } from '#extension/runtime.ts';
import type { HeaderMap } from '#http/header-map.ts';
import type { LocalReplyConfig } from '#schema/messages/envoy/extensions/filters/network/http_connection_manager/v3.ts';
import type { LocalReplyMapper } from './manager-shared.ts';
import type { Stream } from './stream.ts';

export interface LocalReplyData {
  readonly mappers: readonly MapperData[];
  readonly format: FormatData | undefined;
}

interface MapperData {
  readonly filter: AccessLogFilterData;
  /** 0: as it is. */
  readonly status: number;
  readonly body: string | undefined;
  readonly format: FormatData | undefined;
  readonly headers: readonly HeaderMutationData[];
}

export function parseLocalReply(message: LocalReplyConfig, at: ParseContext): LocalReplyData {
  return {
    mappers: message.mappers.flatMap((mapper, i) => {
      const here = at.field('mappers', i);
      if (mapper.filter === undefined) {
        here.field('filter').fail('is required');
        return [];
      }
      return {
        filter: parseAccessLogFilter(mapper.filter, here.field('filter')),
        status: mapper.status_code ?? 0,
        body:
          mapper.body === undefined
            ? undefined
            : readDataSource(mapper.body, here.field('body'))?.toString('latin1'),
        format:
          mapper.body_format_override === undefined
            ? undefined
            : parseFormatString(mapper.body_format_override, here.field('body_format_override')),
        headers: mapper.headers_to_add.map((it, k) =>
          parseHeaderValueOption(it, here.field('headers_to_add', k)),
        ),
      };
    }),
    format:
      message.body_format === undefined
        ? undefined
        : parseFormatString(message.body_format, at.field('body_format')),
  };
}

interface Format {
  readonly formatter: Formatter;
  readonly contentType: string;
}

interface Mapper {
  readonly filter: AccessLogFilter;
  readonly status: number;
  readonly body: string | undefined;
  readonly format: Format | undefined;
  readonly headers: HeaderMutations | null;
}

export class ConfiguredLocalReply implements LocalReplyMapper {
  contentType = '';
  readonly #mappers: readonly Mapper[];
  readonly #format: Format | undefined;

  constructor(data: LocalReplyData, runtime: Runtime) {
    this.#mappers = data.mappers.map((it) => ({
      filter: compileAccessLogFilter(it.filter, runtime),
      status: it.status,
      body: it.body,
      format: it.format && compile(it.format),
      headers: compileLevel(it.headers),
    }));
    this.#format = data.format && compile(data.format);
  }

  map(stream: Stream, headers: HeaderMap, body: string): string {
    const { info } = stream;
    stream.responseHeaders = headers;
    let text = body;
    let format = this.#format;
    for (const mapper of this.#mappers) {
      if (!mapper.filter.passes(stream)) continue;
      if (mapper.body !== undefined) text = mapper.body;
      if (mapper.headers !== null) mapper.headers.apply(headers, stream);
      if (mapper.status !== 0) {
        headers.status = mapper.status;
        info.responseCode = mapper.status;
      }
      if (mapper.format !== undefined) format = mapper.format;
      break;
    }
    this.contentType = format === undefined ? '' : format.contentType;
    if (format === undefined) return text;
    // Only the format of the body sees it: in mappers' headers and in an access log %LOCAL_REPLY_BODY% is empty.
    info.localReplyBody = text;
    const formatted = format.formatter.format(stream);
    info.localReplyBody = '';
    return formatted;
  }
}

function compile(data: FormatData): Format {
  return {
    formatter: compileFormatData(data),
    contentType:
      data.contentType !== ''
        ? data.contentType
        : data.json === undefined
          ? 'text/plain'
          : 'application/json',
  };
}
