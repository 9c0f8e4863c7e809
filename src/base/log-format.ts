// The `--log-format` of the proxy's own log: spdlog's pattern flags and Envoy's own (%_ %j %* %+), compiled once.
import { months, weekdays } from './calendar.ts';

export interface LogRecord {
  readonly timeMs: number;
  /** Milliseconds since the message before. */
  readonly elapsedMs: number;
  /** A position in `levelNames`. */
  readonly level: number;
  readonly logger: string;
  readonly message: string;
  /** Connection, stream and the like: they go before the message. */
  readonly tags: Readonly<Record<string, string>> | undefined;
  readonly source: SourceLocation;
}

export interface SourceLocation {
  /** From the root of the package: `src/data-plane/server.ts`. */
  readonly file: string;
  readonly line: number;
  readonly function: string;
}

export const levelNames = ['trace', 'debug', 'info', 'warning', 'error', 'critical', 'off'] as const;

export const defaultLogFormat = '[%Y-%m-%d %T.%e][%t][%l][%n] [%g:%#] %v';
/** Fine-grain loggers have no name but their file. */
export const fineGrainLogFormat = '[%Y-%m-%d %T.%e][%t][%l] [%g:%#] %v';

export interface LogFormat {
  print(record: LogRecord): string;
  /** False: `source` need not be found out. */
  readonly needsSource: boolean;
}

type Part = (record: LogRecord) => string;

const two = (n: number) => (n < 10 ? `0${n}` : `${n}`);
const hour12 = (date: Date) => two(date.getHours() % 12 || 12);
const time = (date: Date) => `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
const monthDayYear = (date: Date) =>
  `${two(date.getMonth() + 1)}/${two(date.getDate())}/${two(date.getFullYear() % 100)}`;
const half = (date: Date) => (date.getHours() < 12 ? 'AM' : 'PM');
const timeZone = (date: Date) => {
  const minutes = -date.getTimezoneOffset();
  const absolute = Math.abs(minutes);
  return `${minutes < 0 ? '-' : '+'}${two(Math.floor(absolute / 60))}:${two(absolute % 60)}`;
};

const dates: Record<string, (date: Date, timeMs: number) => string> = {
  a: (date) => weekdays[date.getDay()]!.slice(0, 3),
  A: (date) => weekdays[date.getDay()]!,
  b: (date) => months[date.getMonth()]!.slice(0, 3),
  h: (date) => months[date.getMonth()]!.slice(0, 3),
  B: (date) => months[date.getMonth()]!,
  c: (date) =>
    `${dates.a!(date, 0)} ${dates.b!(date, 0)} ${date.getDate()} ${time(date)} ${date.getFullYear()}`,
  C: (date) => two(date.getFullYear() % 100),
  Y: (date) => `${date.getFullYear()}`,
  D: monthDayYear,
  x: monthDayYear,
  m: (date) => two(date.getMonth() + 1),
  d: (date) => two(date.getDate()),
  H: (date) => two(date.getHours()),
  I: hour12,
  M: (date) => two(date.getMinutes()),
  S: (date) => two(date.getSeconds()),
  e: (_, timeMs) => fraction(timeMs, 3),
  f: (_, timeMs) => fraction(timeMs, 6),
  F: (_, timeMs) => fraction(timeMs, 9),
  E: (_, timeMs) => `${Math.floor(timeMs / 1000)}`,
  p: half,
  r: (date) => `${hour12(date)}:${two(date.getMinutes())}:${two(date.getSeconds())} ${half(date)}`,
  R: (date) => `${two(date.getHours())}:${two(date.getMinutes())}`,
  T: time,
  X: time,
  z: timeZone,
};

const locations: Record<string, (source: SourceLocation) => string> = {
  s: ({ file }) => file.slice(file.lastIndexOf('/') + 1),
  g: ({ file }) => file,
  '#': ({ line }) => `${line}`,
  '!': (source) => source.function,
  '@': ({ file, line }) => `${file}:${line}`,
  // What spdlog calls mapped diagnostic context: there is none.
  '&': () => '',
};

/** `threadId` and `processId` are those of the thread that prints. `escaped`: `--log-format-escaped`. */
export function compileLogFormat(
  pattern: string,
  escaped: boolean,
  { threadId, processId }: { readonly threadId: number; readonly processId: number },
): LogFormat {
  const parts: Part[] = [];
  let needsSource = false;

  const flags: Record<string, Part> = {
    v: withTags,
    _: (record) => withTags(record).replaceAll('\n', '\\n'),
    j: (record) => JSON.stringify(withTags(record)).slice(1, -1),
    '+': ({ message }) => message,
    '*': ({ tags }) =>
      Object.entries(tags ?? {}).reduce((all, [key, value]) => `${all},"${key}":"${value}"`, ''),
    t: () => `${threadId}`,
    P: () => `${processId}`,
    n: ({ logger }) => logger,
    l: ({ level }) => levelNames[level]!,
    L: ({ level }) => levelNames[level]![0]!.toUpperCase(),
    u: ({ elapsedMs }) => `${Math.round(elapsedMs * 1e6)}`,
    i: ({ elapsedMs }) => `${Math.round(elapsedMs * 1e3)}`,
    o: ({ elapsedMs }) => `${Math.round(elapsedMs)}`,
    O: ({ elapsedMs }) => `${Math.round(elapsedMs / 1000)}`,
    '%': () => '%',
    // Where a colour would begin and end: there are none.
    '^': () => '',
    $: () => '',
  };

  // %, then padding: a side (right-aligned, - left, = centred), a width of at most 64, ! to cut what is longer; then the flag.
  for (const match of pattern.matchAll(/%(?:([-=]?)(\d+)(!?)(?=[^\d!]|!))?([\s\S])|[^%]+|%$/g)) {
    const [text, side, width, cut, flag] = match;
    if (flag === undefined) {
      // A percent sign at the very end begins nothing.
      if (text !== '%') parts.push(() => text);
      continue;
    }
    let part = flags[flag];
    const date = dates[flag];
    const location = locations[flag];
    if (date !== undefined) part = ({ timeMs }) => date(new Date(timeMs), timeMs);
    if (location !== undefined) {
      needsSource = true;
      part = ({ source }) => location(source);
    }
    if (part === undefined) parts.push(() => `%${flag}`);
    else if (width === undefined) parts.push(part);
    else parts.push(padded(part, side ?? '', Math.min(Number(width), 64), cut === '!'));
  }

  return {
    needsSource,
    print(record) {
      let line = '';
      for (const part of parts) line += part(record);
      return `${escaped ? escapeC(line) : line}\n`;
    },
  };
}

function withTags({ tags, message }: LogRecord): string {
  if (tags === undefined) return message;
  const list = Object.entries(tags).map(([key, value]) => `"${key}":"${value}"`);
  return list.length === 0 ? message : `[Tags: ${list.join(',')}] ${message}`;
}

function fraction(timeMs: number, digits: number): string {
  const nanoseconds = Math.floor((timeMs % 1000) * 1e6);
  return `${nanoseconds}`.padStart(9, '0').slice(0, digits);
}

function padded(part: Part, side: string, width: number, cut: boolean): Part {
  return (record) => {
    const text = part(record);
    if (text.length >= width) return cut ? text.slice(0, width) : text;
    if (side === '-') return text.padEnd(width);
    if (side === '=') return text.padStart(text.length + Math.floor((width - text.length) / 2)).padEnd(width);
    return text.padStart(width);
  };
}

/** C escapes, for everything but white space at the end. */
function escapeC(line: string): string {
  const text = line.trimEnd();
  const named: Record<string, string> = {
    '\n': '\\n',
    '\r': '\\r',
    '\t': '\\t',
    '"': '\\"',
    "'": "\\'",
    '\\': '\\\\',
  };
  let escaped = '';
  for (const byte of Buffer.from(text)) {
    const character = String.fromCharCode(byte);
    if (named[character] !== undefined) escaped += named[character];
    else if (byte < 32 || byte > 126) escaped += `\\${byte.toString(8).padStart(3, '0')}`;
    else escaped += character;
  }
  return escaped + line.slice(text.length);
}
