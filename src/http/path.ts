// The `:path` of a request normalized, in Envoy's steps: escaped slashes, RFC 3986, repeated slashes.
import type { HeaderMap } from './header-map.ts';

/** `path_with_escaped_slashes_action` */
export const EscapedSlashes = {
  KeepUnchanged: 0,
  Reject: 1,
  UnescapeAndRedirect: 2,
  UnescapeAndForward: 3,
} as const;
export type EscapedSlashes = (typeof EscapedSlashes)[keyof typeof EscapedSlashes];

export interface PathOptions {
  /** `normalize_path` */
  readonly normalizes: boolean;
  /** `merge_slashes` */
  readonly mergesSlashes: boolean;
  readonly escapedSlashes: EscapedSlashes;
}

/** What to do with a request whose path was normalized: the last two answer with 400 and with 307 to the new path. */
export const PathVerdict = { Continue: 0, Reject: 1, Redirect: 2 } as const;
export type PathVerdict = (typeof PathVerdict)[keyof typeof PathVerdict];

/** Rewrites `headers.path` as the options say. A rejected path is left as far as the steps had come: that is what Envoy logs. */
export function normalizePath(headers: HeaderMap, options: PathOptions): PathVerdict {
  let verdict: PathVerdict = PathVerdict.Continue;
  if (options.escapedSlashes !== EscapedSlashes.KeepUnchanged) {
    const path = unescapeSlashes(headers.path);
    if (path !== headers.path) {
      headers.path = path;
      if (options.escapedSlashes === EscapedSlashes.Reject) return PathVerdict.Reject;
      if (options.escapedSlashes === EscapedSlashes.UnescapeAndRedirect) verdict = PathVerdict.Redirect;
    }
  }
  if (options.normalizes) {
    const path = canonicalPath(headers.path);
    if (path === undefined) return PathVerdict.Reject;
    headers.path = path;
  }
  if (options.mergesSlashes) headers.path = mergeSlashes(headers.path);
  return verdict;
}

/**
 * RFC 3986 6.2.2 as Envoy (by Chromium's rules) does it: unreserved characters unescaped, unsafe ones escaped, `\` as `/`, dot
 * segments removed, with their `;parameters`. The query stays. Undefined when the path holds `%00`.
 */
export function canonicalPath(path: string): string | undefined {
  // Most paths are canonical: a dot matters only at the start of a segment.
  let i = 0;
  let before = SLASH;
  for (; i < path.length; i++) {
    const c = path.charCodeAt(i);
    if (c === QUESTION_MARK) return path;
    if (c > 126 || changes[c] === 1 || (c === DOT && before === SLASH)) break;
    before = c;
  }
  if (i === path.length) return path;

  const query = path.indexOf('?');
  const segments = (query < 0 ? path : path.substring(0, query)).split('/');
  const kept: string[] = [];
  for (let n = 1; n < segments.length; n++) {
    const canonical = canonicalSegments(withoutDotParameters(segments[n]!));
    if (canonical === undefined) return undefined;
    // A backslash made several segments of one.
    const parts = canonical.split('/');
    for (let p = 0; p < parts.length; p++) {
      const isLast = n === segments.length - 1 && p === parts.length - 1;
      const part = parts[p]!;
      if (part === '..') kept.pop();
      else if (part !== '.') {
        kept.push(part);
        continue;
      }
      if (isLast) kept.push('');
    }
  }
  return `/${kept.join('/')}${query < 0 ? '' : path.substring(query)}`;
}

/** `//` -> `/` in front of the query. A path of slashes only keeps two, as in Envoy. */
export function mergeSlashes(path: string): string {
  const query = path.indexOf('?');
  const first = path.indexOf('//');
  if (first < 0 || (query >= 0 && first > query)) return path;
  const end = query < 0 ? path.length : query;
  const segments: string[] = [];
  for (const segment of path.substring(0, end).split('/')) if (segment !== '') segments.push(segment);
  const tail = path.charCodeAt(end - 1) === SLASH ? '/' : '';
  return `${path.charCodeAt(0) === SLASH ? '/' : ''}${segments.join('/')}${tail}${path.substring(end)}`;
}

/** `%2F` -> `/`, `%5C` -> `\` in front of the query. */
export function unescapeSlashes(path: string): string {
  if (!path.includes('%')) return path;
  const query = path.indexOf('?');
  const end = query < 0 ? path.length : query;
  const unescaped = path.substring(0, end).replace(/%2f/gi, '/').replace(/%5c/gi, '\\');
  return unescaped.length === end ? path : unescaped + path.substring(end);
}

const SLASH = 47;
const DOT = 46;
const PERCENT = 37;
const BACKSLASH = 92;
const QUESTION_MARK = 63;

/** Characters that canonicalization escapes. */
const unsafe = '"<>^`{|}';

/** 1 for characters that may change: escapes, unsafe ones, backslash. */
const changes = new Uint8Array(127);
for (const c of `%\\${unsafe}`) changes[c.charCodeAt(0)] = 1;
changes.fill(1, 0, 33);

/** `..;a=b` -> `..`: a dot segment is one whatever its parameters. */
function withoutDotParameters(segment: string): string {
  if (segment.startsWith('..;')) return '..';
  return segment.startsWith('.;') ? '.' : segment;
}

function canonicalSegments(segment: string): string | undefined {
  let text = '';
  for (let i = 0; i < segment.length; i++) {
    const c = segment.charCodeAt(i);
    if (c === PERCENT) {
      const high = hexValue(segment.charCodeAt(i + 1));
      const low = hexValue(segment.charCodeAt(i + 2));
      if (high >= 0 && low >= 0) {
        const value = high * 16 + low;
        if (value === 0) return undefined;
        text += isUnreserved(value) ? String.fromCharCode(value) : segment.substring(i, i + 3);
        i += 2;
      } else text += '%';
    } else if (c === BACKSLASH) text += '/';
    else if (c <= 32 || c > 126 || unsafe.includes(segment[i]!)) {
      text += `%${c.toString(16).toUpperCase().padStart(2, '0')}`;
    } else text += segment[i];
  }
  return text;
}

/** RFC 3986 2.3 */
function isUnreserved(c: number): boolean {
  return (
    (c >= 48 && c <= 57) ||
    ((c | 32) >= 97 && (c | 32) <= 122) ||
    c === 45 ||
    c === DOT ||
    c === 95 ||
    c === 126
  );
}

function hexValue(c: number): number {
  if (c >= 48 && c <= 57) return c - 48;
  const letter = c | 32;
  return letter >= 97 && letter <= 102 ? letter - 87 : -1;
}
