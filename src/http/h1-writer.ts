// Heads and trailers as one latin1 text each, and the bytes around chunks.
import type { ByteCounts } from './byte-counts.ts';
import type { ByteSink } from './codec.ts';
import { HeaderKeyFormat, type Http1Options } from './h1-options.ts';
import type { HeaderMap, HeaderSpelling } from './header-map.ts';
import { statusLines10, statusLines11 } from './status.ts';

export function statusLine(headers: HeaderMap, isHttp10: boolean): string {
  const reason = headers.spelling?.reason ?? '';
  if (reason !== '') return `HTTP/1.${isHttp10 ? 0 : 1} ${headers.status} ${reason}\r\n`;
  return (isHttp10 ? statusLines10 : statusLines11)[headers.status]!;
}

/** `name: value\r\n` for every header. The spelling of the message counts before the format of the codec, as in Envoy. */
export function headerLines(headers: HeaderMap, options: Http1Options): string {
  if (headers.spelling === undefined && options.headerKeyFormat !== HeaderKeyFormat.ProperCase)
    return plainLines(headers);
  const list = headers.list;
  let text = '';
  for (let i = 0; i < list.length; i += 2) text += headerLine(list[i]!, list[i + 1]!, headers, options);
  return text;
}

function plainLines({ list }: HeaderMap): string {
  let text = '';
  for (let i = 0; i < list.length; i += 2) {
    // biome-ignore lint/style/useTemplate: adding piece by piece takes a fifth less time than adding a template.
    text = text + list[i] + ': ' + list[i + 1] + '\r\n';
  }
  return text;
}

/** One line, for a header that the codec adds itself. */
export function headerLine(name: string, value: string, headers: HeaderMap, options: Http1Options): string {
  const spelling = headers.spelling;
  if (spelling !== undefined) return `${spelledName(name, spelling)}: ${value}\r\n`;
  if (options.headerKeyFormat === HeaderKeyFormat.ProperCase) return `${properCase(name)}: ${value}\r\n`;
  return `${name}: ${value}\r\n`;
}

function spelledName(name: string, spelling: HeaderSpelling): string {
  return spelling.names.get(name) ?? (spelling.isOthersProperCase ? properCase(name) : name);
}

/** `lines`: as `headerLines` makes them. */
export function writeHead(sink: ByteSink, firstLine: string, lines: string, counts: ByteCounts): void {
  counts.wireBytesSent += firstLine.length + lines.length + 2;
  counts.headerBytesSent += lines.length;
  counts.decompressedHeaderBytesSent += lines.length;
  // biome-ignore lint/style/useTemplate: adding piece by piece takes a fifth less time than adding a template.
  sink.writeText(firstLine + lines + '\r\n');
}

/** Writes a slice of a body, and its end. Returns how many bytes that took. */
export function writeBody(sink: ByteSink, data: Buffer, isChunked: boolean, endStream: boolean): number {
  const length = data.length;
  if (!isChunked) {
    if (length > 0) sink.write(data);
    return length;
  }
  if (length === 0) {
    if (!endStream) return 0;
    sink.writeText(lastChunk);
    return lastChunk.length;
  }
  const start = `${length.toString(16)}\r\n`;
  const end = endStream ? `\r\n${lastChunk}` : '\r\n';
  sink.writeText(start);
  sink.write(data);
  sink.writeText(end);
  return start.length + length + end.length;
}

/** Ends a body with trailers, where they may be. */
export function writeTrailers(
  sink: ByteSink,
  trailers: HeaderMap,
  isChunked: boolean,
  options: Http1Options,
  counts: ByteCounts,
): void {
  if (!isChunked) return;
  // Envoy formats the names of headers only.
  const lines = options.enableTrailers ? plainLines(trailers) : '';
  counts.wireBytesSent += lastChunk.length + lines.length;
  counts.headerBytesSent += lines.length;
  counts.decompressedHeaderBytesSent += lines.length;
  sink.writeText(`0\r\n${lines}\r\n`);
}

const lastChunk = '0\r\n\r\n';

/** `x-foo-bar` -> `X-Foo-Bar`: a letter is upper case at the start and after anything that is not a letter or digit. */
function properCase(name: string): string {
  const known = properNames.get(name);
  if (known !== undefined) return known;
  let text = '';
  let isStart = true;
  for (let i = 0; i < name.length; i++) {
    const c = name.charCodeAt(i);
    const isLetter = c >= 97 && c <= 122;
    text += isStart && isLetter ? name[i]!.toUpperCase() : name[i];
    isStart = !isLetter && !(c >= 48 && c <= 57);
  }
  if (properNames.size < 1000) properNames.set(name, text);
  return text;
}

const properNames = new Map<string, string>();
