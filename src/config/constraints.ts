// The `validate.rules` of a field, compiled once per field into checks of one value. The words are those that Envoy prints, so that
// a search for them finds the same explanations.

import type { Field, MessageType, Rules } from '#schema/descriptor.ts';
import type { Duration } from '#schema/values.ts';

/** Says what is wrong with a value, or nothing. */
export type Constraint = (value: unknown) => string | undefined;

export interface FieldConstraints {
  /** Has to be set: a message that is required, or a member of a oneof that is. */
  readonly isRequired: boolean;
  /** Rules below are not looked at. */
  readonly isSkipped: boolean;
  /** Of the field as a whole: for lists their length, for maps their size. */
  readonly whole: Constraint | undefined;
  /** Of each element of a list or each value of a map. */
  readonly each: Constraint | undefined;
  /** Of each key of a map. */
  readonly key: Constraint | undefined;
}

const cache = new WeakMap<MessageType, readonly (FieldConstraints | undefined)[]>();

/** In the order of `type.fields`. */
export function constraintsOf(type: MessageType): readonly (FieldConstraints | undefined)[] {
  let constraints = cache.get(type);
  if (constraints === undefined) {
    constraints = type.isValidationDisabled ? type.fields.map(() => undefined) : type.fields.map(compile);
    cache.set(type, constraints);
  }
  return constraints;
}

function compile(field: Field): FieldConstraints | undefined {
  const { rules } = field;
  if (rules === undefined) return undefined;
  const base = { isRequired: isRequired(rules), isSkipped: own(rules.message, 'skip') === true };
  if (field.kind === 'map') {
    const map = rules.map as Rules | undefined;
    return {
      ...base,
      whole: mapSize(map),
      each: own(map, 'values') === undefined ? undefined : valueConstraint(map!.values as Rules),
      key: own(map, 'keys') === undefined ? undefined : valueConstraint(map!.keys as Rules),
    };
  }
  if (field.isRepeated) {
    const repeated = rules.repeated as Rules | undefined;
    const items = own(repeated, 'items') as Rules | undefined;
    const each = items === undefined ? undefined : valueConstraint(items, field);
    return { ...base, whole: listSize(repeated), each, key: undefined };
  }
  return { ...base, whole: valueConstraint(rules, field), each: undefined, key: undefined };
}

/** A rule that was written down; defaults of the rules messages do not count. */
function own(rules: unknown, name: string): unknown {
  return rules !== undefined && Object.hasOwn(rules as object, name) ? (rules as Rules)[name] : undefined;
}

function isRequired(rules: Rules): boolean {
  for (const kind of ['message', 'any', 'duration', 'timestamp'])
    if (own(rules[kind], 'required') === true) return true;
  return false;
}

function valueConstraint(rules: Rules, field?: Field): Constraint | undefined {
  for (const kind of Object.keys(rules)) {
    const of = rules[kind] as Rules;
    switch (kind) {
      case 'string':
        return stringConstraint(of);
      case 'bytes':
        return bytesConstraint(of);
      case 'bool':
        return own(of, 'const') === undefined ? undefined : equals(of.const);
      case 'enum':
        return enumConstraint(of, field);
      case 'duration':
        return durationConstraint(of);
      case 'any':
        return anyConstraint(of);
      case 'message':
      case 'repeated':
      case 'map':
      case 'timestamp':
        break;
      default:
        return numberConstraint(of);
    }
  }
  return undefined;
}

function all(checks: readonly Constraint[]): Constraint | undefined {
  if (checks.length <= 1) return checks[0];
  return (value) => {
    for (const check of checks) {
      const problem = check(value);
      if (problem !== undefined) return problem;
    }
    return undefined;
  };
}

function equals(wanted: unknown): Constraint {
  return (value) => (value === wanted ? undefined : `value must equal ${wanted}`);
}

function inList(wanted: readonly unknown[]): Constraint {
  const set = new Set(wanted);
  return (value) => (set.has(value) ? undefined : `value must be in list [${wanted.join(', ')}]`);
}

function notInList(unwanted: readonly unknown[]): Constraint {
  const set = new Set(unwanted);
  return (value) => (set.has(value) ? `value must not be in list [${unwanted.join(', ')}]` : undefined);
}

function numberConstraint(rules: Rules): Constraint | undefined {
  return rangeConstraint(
    rules,
    (it) => it as number | bigint,
    String,
    (value) => value === 0 || value === 0n,
  );
}

function durationConstraint(rules: Rules): Constraint | undefined {
  const number = (it: unknown) => (it as Duration).seconds + (it as Duration).nanos / 1e9;
  return rangeConstraint(
    rules,
    number,
    (it) => durationText(it as Duration),
    () => false,
  );
}

/** As Envoy prints limits, in Go's way: `0s`, `1ms`, `1m0s`, `1193046h28m16s`. */
function durationText({ seconds, nanos }: Duration): string {
  if (seconds === 0 && nanos !== 0)
    return nanos < 1_000 ? `${nanos}ns` : nanos < 1_000_000 ? `${nanos / 1_000}µs` : `${nanos / 1_000_000}ms`;
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  const rest = `${(seconds % 60) + nanos / 1e9}s`;
  return hours > 0 ? `${hours}h${minutes}m${rest}` : minutes > 0 ? `${minutes}m${rest}` : rest;
}

function rangeConstraint(
  rules: Rules,
  number: (value: unknown) => number | bigint,
  print: (limit: unknown) => string,
  isEmpty: (value: unknown) => boolean,
): Constraint | undefined {
  const checks: Constraint[] = [];
  const limit = (name: string) => (own(rules, name) === undefined ? undefined : number(rules[name]));
  const [lt, lte, gt, gte] = [limit('lt'), limit('lte'), limit('gt'), limit('gte')];
  const low = gt ?? gte;
  const high = lt ?? lte;
  const isLow = (value: number | bigint) =>
    gt !== undefined ? value <= gt : gte !== undefined && value < gte;
  const isHigh = (value: number | bigint) =>
    lt !== undefined ? value >= lt : lte !== undefined && value > lte;
  if (own(rules, 'const') !== undefined) checks.push(equals(rules.const));
  if (low !== undefined && high !== undefined) {
    const range = `${gt !== undefined ? '(' : '['}${print(rules[gt !== undefined ? 'gt' : 'gte'])}, ${print(rules[lt !== undefined ? 'lt' : 'lte'])}${lt !== undefined ? ')' : ']'}`;
    checks.push((value) => {
      const it = number(value);
      return isLow(it) || isHigh(it) || Number.isNaN(it) ? `value must be inside range ${range}` : undefined;
    });
  } else if (low !== undefined) {
    const words =
      gt !== undefined
        ? `value must be greater than ${print(rules.gt)}`
        : `value must be greater than or equal to ${print(rules.gte)}`;
    checks.push((value) => (isLow(number(value)) ? words : undefined));
  } else if (high !== undefined) {
    const words =
      lt !== undefined
        ? `value must be less than ${print(rules.lt)}`
        : `value must be less than or equal to ${print(rules.lte)}`;
    checks.push((value) => (isHigh(number(value)) ? words : undefined));
  }
  if ((own(rules, 'in') as unknown[] | undefined)?.length) checks.push(inList(rules.in as unknown[]));
  if ((own(rules, 'not_in') as unknown[] | undefined)?.length)
    checks.push(notInList(rules.not_in as unknown[]));
  const check = all(checks);
  if (check === undefined || own(rules, 'ignore_empty') !== true) return check;
  return (value) => (isEmpty(value) ? undefined : check(value));
}

function enumConstraint(rules: Rules, field: Field | undefined): Constraint | undefined {
  const checks: Constraint[] = [];
  const type = field?.kind === 'enum' ? field.enum : undefined;
  // A value without a name stays a number in memory.
  if (own(rules, 'defined_only') === true) {
    checks.push((value) =>
      typeof value === 'number' ? 'value must be one of the defined enum values' : undefined,
    );
  }
  const named = (numbers: readonly unknown[]) => numbers.map((it) => type?.nameOf(it as number) ?? it);
  if (own(rules, 'const') !== undefined) checks.push(equals(type?.nameOf(rules.const as number)));
  if ((own(rules, 'in') as unknown[] | undefined)?.length) checks.push(inList(named(rules.in as unknown[])));
  if ((own(rules, 'not_in') as unknown[] | undefined)?.length)
    checks.push(notInList(named(rules.not_in as unknown[])));
  return all(checks);
}

function anyConstraint(rules: Rules): Constraint | undefined {
  const types = own(rules, 'in') as readonly string[] | undefined;
  if (types === undefined || types.length === 0) return undefined;
  return (value) =>
    types.includes((value as { '@type': string })['@type'])
      ? undefined
      : `type URL must be in list [${types.join(', ')}]`;
}

const headerName = /^:?[0-9a-zA-Z!#$%&'*+\-.^_|~`]+$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: RFC 9110 forbids exactly these
const headerValue = /^[^\x00-\x08\x0a-\x1f\x7f]*$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: what is refused even when headers are read leniently
const lenientHeader = /^[^\x00\n\r]*$/;

function stringConstraint(rules: Rules): Constraint | undefined {
  const checks: Constraint[] = [];
  if (own(rules, 'const') !== undefined) checks.push(equals(rules.const));
  lengthChecks(rules, checks, '', characters, 'characters');
  lengthChecks(rules, checks, '_bytes', (it) => Buffer.byteLength(it), 'bytes');
  affixChecks(rules, checks);
  if (own(rules, 'pattern') !== undefined) {
    const pattern = rules.pattern as string;
    checks.push(matches(new RegExp(pattern, 'u'), pattern));
  }
  if ((own(rules, 'in') as unknown[] | undefined)?.length) checks.push(inList(rules.in as unknown[]));
  if ((own(rules, 'not_in') as unknown[] | undefined)?.length)
    checks.push(notInList(rules.not_in as unknown[]));
  wellKnownChecks(rules, checks);
  const check = all(checks);
  if (check === undefined || own(rules, 'ignore_empty') !== true) return check;
  return (value) => (value === '' ? undefined : check(value));
}

function characters(text: string): number {
  let count = 0;
  for (let i = 0; i < text.length; i++) if ((text.charCodeAt(i) & 0xfc00) !== 0xdc00) count++;
  return count;
}

function lengthChecks(
  rules: Rules,
  checks: Constraint[],
  suffix: '' | '_bytes',
  length: (text: string) => number,
  unit: string,
): void {
  const limit = (name: string) => {
    const value = own(rules, name);
    return value === undefined ? undefined : Number(value);
  };
  const exact = limit(`len${suffix}`);
  const min = limit(suffix === '' ? 'min_len' : 'min_bytes');
  const max = limit(suffix === '' ? 'max_len' : 'max_bytes');
  if (exact !== undefined) {
    checks.push((value) =>
      length(value as string) === exact ? undefined : `value length must be ${exact} ${unit}`,
    );
  }
  if (min !== undefined && max !== undefined) {
    checks.push((value) => {
      const it = length(value as string);
      if (it >= min && it <= max) return undefined;
      return min === max
        ? `value length must be ${min} ${unit}`
        : `value length must be between ${min} and ${max} ${unit}, inclusive`;
    });
  } else if (min !== undefined) {
    checks.push((value) =>
      length(value as string) >= min ? undefined : `value length must be at least ${min} ${unit}`,
    );
  } else if (max !== undefined) {
    checks.push((value) =>
      length(value as string) <= max ? undefined : `value length must be at most ${max} ${unit}`,
    );
  }
}

function affixChecks(rules: Rules, checks: Constraint[]): void {
  const prefix = own(rules, 'prefix') as string | undefined;
  const suffix = own(rules, 'suffix') as string | undefined;
  const contains = own(rules, 'contains') as string | undefined;
  const notContains = own(rules, 'not_contains') as string | undefined;
  if (prefix !== undefined) {
    checks.push((it) =>
      (it as string).startsWith(prefix) ? undefined : `value does not have prefix "${prefix}"`,
    );
  }
  if (suffix !== undefined) {
    checks.push((it) =>
      (it as string).endsWith(suffix) ? undefined : `value does not have suffix "${suffix}"`,
    );
  }
  if (contains !== undefined) {
    checks.push((it) =>
      (it as string).includes(contains) ? undefined : `value does not contain substring "${contains}"`,
    );
  }
  if (notContains !== undefined) {
    checks.push((it) =>
      (it as string).includes(notContains) ? `value contains substring "${notContains}"` : undefined,
    );
  }
}

function matches(regex: RegExp, shown: string): Constraint {
  return (value) =>
    regex.test(value as string) ? undefined : `value does not match regex pattern "${shown}"`;
}

function wellKnownChecks(rules: Rules, checks: Constraint[]): void {
  const isStrict = own(rules, 'strict') !== false;
  switch (own(rules, 'well_known_regex')) {
    case 'HTTP_HEADER_NAME':
      checks.push(
        isStrict
          ? matches(headerName, "^:?[0-9a-zA-Z!#$%&'*+-.^_|~`]+$")
          : matches(lenientHeader, '^[^\\x00\\n\\r]*$'),
      );
      break;
    case 'HTTP_HEADER_VALUE':
      checks.push(
        isStrict
          ? matches(headerValue, '^[^\\x00-\\x08\\x0A-\\x1F\\x7F]*$')
          : matches(lenientHeader, '^[^\\x00\\n\\r]*$'),
      );
      break;
  }
}

function bytesConstraint(rules: Rules): Constraint | undefined {
  const checks: Constraint[] = [];
  const min = own(rules, 'min_len');
  const max = own(rules, 'max_len');
  const exact = own(rules, 'len');
  const length = (value: unknown) => BigInt((value as Uint8Array).length);
  if (exact !== undefined) {
    checks.push((it) => (length(it) === exact ? undefined : `value length must be ${exact} bytes`));
  }
  if (min !== undefined) {
    checks.push((it) =>
      length(it) >= (min as bigint) ? undefined : `value length must be at least ${min} bytes`,
    );
  }
  if (max !== undefined) {
    checks.push((it) =>
      length(it) <= (max as bigint) ? undefined : `value length must be at most ${max} bytes`,
    );
  }
  return all(checks);
}

function listSize(rules: Rules | undefined): Constraint | undefined {
  const checks: Constraint[] = [];
  const min = own(rules, 'min_items');
  const max = own(rules, 'max_items');
  const size = (value: unknown) => (value as readonly unknown[]).length;
  if (min !== undefined && min === max) {
    checks.push((it) => (size(it) === Number(min) ? undefined : `value must contain exactly ${min} item(s)`));
  } else {
    if (min !== undefined) {
      checks.push((it) =>
        size(it) >= Number(min) ? undefined : `value must contain at least ${min} item(s)`,
      );
    }
    if (max !== undefined) {
      checks.push((it) =>
        size(it) <= Number(max) ? undefined : `value must contain no more than ${max} item(s)`,
      );
    }
  }
  if (own(rules, 'unique') === true) {
    checks.push((it) =>
      new Set(
        (it as readonly unknown[]).map((element) =>
          typeof element === 'object' ? JSON.stringify(element) : element,
        ),
      ).size === size(it)
        ? undefined
        : 'repeated value must contain unique items',
    );
  }
  const check = all(checks);
  if (check === undefined || own(rules, 'ignore_empty') !== true) return check;
  return (value) => (size(value) === 0 ? undefined : check(value));
}

function mapSize(rules: Rules | undefined): Constraint | undefined {
  const checks: Constraint[] = [];
  const min = own(rules, 'min_pairs');
  const max = own(rules, 'max_pairs');
  const size = (value: unknown) => Object.keys(value as object).length;
  if (min !== undefined) {
    checks.push((it) => (size(it) >= Number(min) ? undefined : `value must contain at least ${min} pair(s)`));
  }
  if (max !== undefined) {
    checks.push((it) =>
      size(it) <= Number(max) ? undefined : `value must contain no more than ${max} pair(s)`,
    );
  }
  return all(checks);
}
