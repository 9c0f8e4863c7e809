// `%START_TIME(format)%`: strftime with Envoy's additions, compiled to a list of parts. Times are UTC, or local for the `_LOCAL`
// operators, as ms since the epoch with microseconds in the fraction.
import { months, weekdays } from '#base/calendar.ts';

/** A format compiled: texts as they are, and numbers of `Part`. */
type Part = string | ((time: Date, ms: number) => string);

export class TimeFormat {
  readonly #parts: readonly Part[];
  readonly #changesWithinSecond: boolean;
  readonly #isLocal: boolean;
  #second = Number.NaN;
  #text = '';

  constructor(format: string, isLocal: boolean) {
    this.#parts = compile(format, isLocal);
    this.#changesWithinSecond = /%(?:E\d?[*]?S|E\*S|\d?f|E\d?f|E\*f|c)/.test(format.replace('%c', ''));
    this.#isLocal = isLocal;
  }

  format(ms: number): string {
    const second = Math.floor(ms / 1000);
    if (second === this.#second && !this.#changesWithinSecond) return this.#text;
    // A local time is written with the UTC getters of a shifted date: its parts need no second variant then.
    const offsetMs = this.#isLocal ? -new Date(ms).getTimezoneOffset() * 60_000 : 0;
    const time = new Date(Math.floor(ms) + offsetMs);
    let text = '';
    for (let i = 0; i < this.#parts.length; i++) {
      const part = this.#parts[i]!;
      text += typeof part === 'string' ? part : part(time, ms);
    }
    this.#second = second;
    this.#text = text;
    return text;
  }
}

/** `2026-11-21T09:58:52.236Z`, the form without an argument. The part up to the second is kept for the next call. */
export class IsoTime {
  #second = Number.NaN;
  #prefix = '';

  format(ms: number): string {
    const whole = Math.floor(ms);
    const second = Math.floor(whole / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#prefix = new Date(second * 1000).toISOString().slice(0, 20);
    }
    const rest = whole - second * 1000;
    return `${this.#prefix}${rest < 10 ? '00' : rest < 100 ? '0' : ''}${rest}Z`;
  }
}

/** What is wrong with a format, in Envoy's words. */
export function timeFormatProblem(format: string): string | undefined {
  for (const found of format.matchAll(/%([%]|.)/gs)) {
    if (found[1] === 'n' || found[1] === 't')
      return 'Invalid header configuration. Format string contains newline.';
  }
  return undefined;
}

function compile(format: string, isLocal: boolean): Part[] {
  const parts: Part[] = [];
  let literal = '';
  const specifier = /%(?:([1-9])f|E([0-9*]?)([a-zA-Z])|O?([a-zA-Z%+]))/y;
  for (let at = 0; at < format.length; ) {
    specifier.lastIndex = at;
    const found = format[at] === '%' ? specifier.exec(format) : null;
    if (!found) {
      literal += format[at++];
      continue;
    }
    at = specifier.lastIndex;
    const part = partOf(found, isLocal);
    if (typeof part === 'string') {
      literal += part;
      continue;
    }
    if (literal !== '') parts.push(literal);
    literal = '';
    parts.push(part);
  }
  if (literal !== '') parts.push(literal);
  return parts;
}

function partOf(found: RegExpExecArray, isLocal: boolean): Part {
  const [all, subseconds, extendedDigits, extended, letter] = found;
  if (subseconds !== undefined) {
    const digits = Number(subseconds);
    return (_, ms) => fraction(ms, digits);
  }
  if (extended !== undefined) {
    const digits = extendedDigits === '*' ? -1 : extendedDigits === '' ? 0 : Number(extendedDigits);
    if (extended === 'z') return () => offset(isLocal, digits === -1 ? ':ss' : ':');
    if (extended === 'Y') return (time) => pad(time.getUTCFullYear(), 4);
    if (extended === 'T') return () => 'T';
    if (extended === 'f') return (_, ms) => (digits < 0 ? trimmed(ms) : fraction(ms, digits));
    if (extended === 'S')
      return (time, ms) => {
        const after = digits < 0 ? trimmed(ms) : digits === 0 ? '' : fraction(ms, digits);
        return `${pad(time.getUTCSeconds(), 2)}${after === '' || (digits < 0 && after === '0') ? '' : '.'}${digits < 0 && after === '0' ? '' : after}`;
      };
    return all;
  }
  const simple = simpleParts[letter!];
  if (letter === 'z') return () => offset(isLocal, '');
  if (letter === 'Z') return () => (isLocal ? zoneName() : 'UTC');
  return simple ?? all;
}

const pad = (value: number, width: number, fill = '0') => String(value).padStart(width, fill);
const hour12 = (time: Date) => time.getUTCHours() % 12 || 12;
const clock = (time: Date) =>
  `${pad(time.getUTCHours(), 2)}:${pad(time.getUTCMinutes(), 2)}:${pad(time.getUTCSeconds(), 2)}`;
const date = (time: Date) =>
  `${pad(time.getUTCMonth() + 1, 2)}/${pad(time.getUTCDate(), 2)}/${pad(time.getUTCFullYear() % 100, 2)}`;

const simpleParts: Readonly<Record<string, Part>> = {
  '%': '%',
  a: (time) => weekdays[time.getUTCDay()]!.slice(0, 3),
  A: (time) => weekdays[time.getUTCDay()]!,
  b: (time) => months[time.getUTCMonth()]!.slice(0, 3),
  B: (time) => months[time.getUTCMonth()]!,
  c: (time) =>
    `${weekdays[time.getUTCDay()]!.slice(0, 3)} ${months[time.getUTCMonth()]!.slice(0, 3)} ${pad(time.getUTCDate(), 2, ' ')} ${clock(time)} ${time.getUTCFullYear()}`,
  C: (time) => pad(Math.floor(time.getUTCFullYear() / 100), 2),
  d: (time) => pad(time.getUTCDate(), 2),
  D: date,
  e: (time) => pad(time.getUTCDate(), 2, ' '),
  F: (time) => time.toISOString().slice(0, 10),
  g: (time) => pad(isoWeek(time).year % 100, 2),
  G: (time) => String(isoWeek(time).year),
  h: (time) => months[time.getUTCMonth()]!.slice(0, 3),
  H: (time) => pad(time.getUTCHours(), 2),
  I: (time) => pad(hour12(time), 2),
  j: (time) => pad(dayOfYear(time) + 1, 3),
  k: (time) => pad(time.getUTCHours(), 2, ' '),
  l: (time) => pad(hour12(time), 2, ' '),
  m: (time) => pad(time.getUTCMonth() + 1, 2),
  M: (time) => pad(time.getUTCMinutes(), 2),
  n: '\n',
  p: (time) => (time.getUTCHours() < 12 ? 'AM' : 'PM'),
  P: (time) => (time.getUTCHours() < 12 ? 'am' : 'pm'),
  r: (time) =>
    `${pad(hour12(time), 2)}:${pad(time.getUTCMinutes(), 2)}:${pad(time.getUTCSeconds(), 2)} ${time.getUTCHours() < 12 ? 'AM' : 'PM'}`,
  R: (time) => `${pad(time.getUTCHours(), 2)}:${pad(time.getUTCMinutes(), 2)}`,
  s: (_, ms) => String(Math.floor(ms / 1000)),
  S: (time) => pad(time.getUTCSeconds(), 2),
  t: '\t',
  T: clock,
  u: (time) => String(time.getUTCDay() || 7),
  U: (time) => pad(Math.floor((dayOfYear(time) + 7 - time.getUTCDay()) / 7), 2),
  V: (time) => pad(isoWeek(time).week, 2),
  w: (time) => String(time.getUTCDay()),
  W: (time) => pad(Math.floor((dayOfYear(time) + 7 - ((time.getUTCDay() + 6) % 7)) / 7), 2),
  x: date,
  X: clock,
  y: (time) => pad(time.getUTCFullYear() % 100, 2),
  Y: (time) => String(time.getUTCFullYear()),
};

/** The first digits of the fraction of a second, to the microsecond: a double of ms since the epoch knows no more. */
function fraction(ms: number, digits: number): string {
  const micros = Math.min(Math.round((ms - Math.floor(ms / 1000) * 1000) * 1000), 999_999);
  return pad(micros, 6).padEnd(9, '0').slice(0, digits);
}

function trimmed(ms: number): string {
  return fraction(ms, 9).replace(/0+$/, '') || '0';
}

function offset(isLocal: boolean, form: '' | ':' | ':ss'): string {
  const minutes = isLocal ? -new Date().getTimezoneOffset() : 0;
  const sign = minutes < 0 ? '-' : '+';
  const hours = pad(Math.floor(Math.abs(minutes) / 60), 2);
  const rest = pad(Math.abs(minutes) % 60, 2);
  return `${sign}${hours}${form === '' ? '' : ':'}${rest}${form === ':ss' ? ':00' : ''}`;
}

function zoneName(): string {
  return (
    /([A-Z]+[+-]?\d*)$/.exec(new Date().toLocaleTimeString('en', { timeZoneName: 'short' }))?.[1] ?? 'UTC'
  );
}

function dayOfYear(time: Date): number {
  return Math.floor((time.getTime() - Date.UTC(time.getUTCFullYear(), 0, 1)) / 86_400_000);
}

function isoWeek(time: Date): { year: number; week: number } {
  const thursday = new Date(time.getTime() + (4 - (time.getUTCDay() || 7)) * 86_400_000);
  return { year: thursday.getUTCFullYear(), week: Math.floor(dayOfYear(thursday) / 7) + 1 };
}
