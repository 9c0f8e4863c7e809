// Whether headers may be written: those that a peer sent were checked when they were read, those that a service told us were not.
import type { HeaderMap } from './header-map.ts';

const badName = /[^!#$%&'*+\-.^_`|~0-9A-Za-z]/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const badValue = /[\0-\x08\x0a-\x1f\x7f]/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const lineBreaks = /[\0\r\n]/g;

export function isHeaderName(name: string): boolean {
  return name !== '' && !badName.test(name);
}

export function isHeaderValue(value: string): boolean {
  return !badValue.test(value);
}

/** For answers, which cannot be refused any more: what would begin another line becomes a space. */
export function harmlessHeaderValue(value: string): string {
  return isHeaderValue(value) ? value : value.replace(lineBreaks, ' ');
}

/** What is wrong, in Envoy's words; empty when nothing is. */
export function headerProblem(headers: HeaderMap): string {
  if (!isHeaderValue(headers.authority)) return 'invalid header value for: :authority';
  if (!isHeaderValue(headers.path)) return 'invalid header value for: :path';
  if (!isHeaderValue(headers.method)) return 'invalid header value for: :method';
  const list = headers.list;
  for (let i = 0; i < list.length; i += 2) {
    if (!isHeaderName(list[i]!)) return `invalid header name: ${list[i]}`;
    if (!isHeaderValue(list[i + 1]!)) return `invalid header value for: ${list[i]}`;
  }
  return '';
}
