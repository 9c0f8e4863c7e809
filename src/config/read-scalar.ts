// Single values of a message: numbers in quotes, booleans as words, base64, durations. What does not fit is said to `fail`.

import { type Field, scalarDefault } from '#schema/descriptor.ts';
import { maxDurationSeconds } from '#schema/values.ts';
import type { ProblemDetails } from './config-error.ts';
import { describe, plain } from './describe.ts';
import { Suggestions } from './suggestions.ts';
import { type Tree, TreeList, TreeMap } from './tree.ts';

/** Reports a problem where the reader stands. `envoy`: the same in protobuf's words. */
export type Fail = (problem: string, details: ProblemDetails, envoy?: string) => undefined;

export function readScalar(field: Field, tree: Tree, fail: Fail): unknown {
  switch (field.scalar!) {
    case 'string':
      return typeof tree === 'string' ? tree : failString(tree, fail);
    case 'bool':
      return readBool(tree, fail);
    case 'bytes':
      return readBytes(tree, fail);
    case 'double':
      return readFloat(tree, false, fail);
    case 'float':
      return readFloat(tree, true, fail);
    case 'uint32':
    case 'fixed32':
      return readInteger(tree, 0n, 0xffffffffn, 'uint32', fail);
    case 'int32':
    case 'sint32':
    case 'sfixed32':
      return readInteger(tree, -0x80000000n, 0x7fffffffn, 'int32', fail);
    case 'uint64':
    case 'fixed64':
      return readInteger(tree, 0n, 0xffffffffffffffffn, 'uint64', fail);
    default:
      return readInteger(tree, -0x8000000000000000n, 0x7fffffffffffffffn, 'int64', fail);
  }
}

export function failString(tree: Tree, fail: Fail): undefined {
  const first = tree instanceof TreeMap ? '{' : tree instanceof TreeList ? '[' : String(tree)[0];
  return fail(
    `expected a string, got ${describe(tree)}`,
    { rule: 'wrong-type', got: plain(tree), expected: 'a string', ...Suggestions.quotes(tree) },
    `unexpected character: '${first}'; expected '"'`,
  );
}

function readBool(tree: Tree, fail: Fail): boolean | undefined {
  if (typeof tree === 'boolean') return tree;
  if (typeof tree === 'string') {
    const word = tree.toLowerCase();
    if (['true', 't', 'yes', 'y', '1'].includes(word)) return true;
    if (['false', 'f', 'no', 'n', '0'].includes(word)) return false;
  }
  const suggestion = tree === 1 ? 'write true' : tree === 0 ? 'write false' : undefined;
  return fail(
    `expected true or false, got ${describe(tree)}`,
    {
      rule: 'wrong-type',
      got: plain(tree),
      expected: 'true or false',
      ...(suggestion !== undefined && { suggestion }),
    },
    "expected 'true' or 'false'",
  );
}

function readBytes(tree: Tree, fail: Fail): Uint8Array | undefined {
  if (tree instanceof Uint8Array) return tree;
  if (typeof tree !== 'string') return failString(tree, fail);
  const digits = tree.replace(/={1,2}$/, '');
  if (/^[A-Za-z0-9+/_-]*$/.test(digits) && digits.length % 4 !== 1)
    return new Uint8Array(Buffer.from(digits, 'base64'));
  return fail(
    'expected base64',
    {
      rule: 'invalid-value',
      got: tree,
      expected: 'bytes in base64',
      suggestion: 'use inline_string for plain text, where there is one',
    },
    'corrupt base64',
  );
}

function readFloat(tree: Tree, is32Bit: boolean, fail: Fail): number | undefined {
  let value: number | undefined;
  if (typeof tree === 'number') value = tree;
  else if (typeof tree === 'bigint') value = Number(tree);
  else if (typeof tree === 'string') value = parseFloat64(tree);
  if (value === undefined) {
    return fail(
      `expected a number, got ${describe(tree)}`,
      {
        rule: 'wrong-type',
        got: plain(tree),
        expected: 'a number',
        ...(typeof tree === 'string' && Suggestions.number(tree)),
      },
      typeof tree === 'string' ? 'non-number characters in quoted number' : 'expected number or string',
    );
  }
  if (is32Bit && Number.isFinite(value) && !Number.isFinite(Math.fround(value))) {
    return fail(
      `${value} does not fit into a float`,
      { rule: 'out-of-range', got: value, expected: 'a number up to 3.4e38' },
      'float out of range',
    );
  }
  return value;
}

export function readInteger(
  tree: Tree,
  min: bigint,
  max: bigint,
  type: 'uint32' | 'int32' | 'uint64' | 'int64',
  fail: Fail,
): number | bigint | undefined {
  const is64Bit = type === 'uint64' || type === 'int64';
  if (typeof tree === 'number' && Number.isInteger(tree) && !is64Bit) {
    if (tree >= Number(min) && tree <= Number(max)) return tree + 0;
    return failRange(tree, min, max, type, fail);
  }
  let value: bigint | undefined;
  if (typeof tree === 'bigint') value = tree;
  else if (typeof tree === 'number' || typeof tree === 'string') {
    if (typeof tree === 'string' && /^[+-]?\d+$/.test(tree)) value = BigInt(tree.replace('+', ''));
    else {
      const float = typeof tree === 'number' ? tree : /\s/.test(tree) ? undefined : parseFloat64(tree);
      if (float === undefined || !Number.isFinite(float)) return failInteger(tree, type, fail);
      if (!Number.isInteger(float)) {
        return fail(
          `expected an integer, got ${float}`,
          { rule: 'invalid-value', got: plain(tree), expected: `an integer (${type})` },
          'expected integer, but JSON number had fractional part',
        );
      }
      value = BigInt(float);
    }
  } else return failInteger(tree, type, fail);
  if (value < min || value > max) return failRange(value, min, max, type, fail);
  return is64Bit ? value : Number(value);
}

function failInteger(tree: Tree, type: string, fail: Fail): undefined {
  return fail(
    `expected a number (${type}), got ${describe(tree)}`,
    {
      rule: 'wrong-type',
      got: plain(tree),
      expected: `an integer (${type})`,
      ...(typeof tree === 'string' && Suggestions.number(tree)),
    },
    typeof tree === 'string' ? `invalid number: '${tree}'` : 'expected number or string',
  );
}

function failRange(value: number | bigint, min: bigint, max: bigint, type: string, fail: Fail): undefined {
  return fail(
    `${value} is out of range for ${type}`,
    { rule: 'out-of-range', got: value, expected: `an integer from ${min} to ${max}` },
    value < 0 && min === 0n ? 'JSON number out of range for int' : 'integer out of range',
  );
}

export function readDuration(tree: Tree, fail: Fail): unknown {
  if (typeof tree !== 'string') {
    const first = tree instanceof TreeList ? '[' : String(tree)[0];
    return fail(
      `expected a duration such as "1.5s", got ${describe(tree)}`,
      {
        rule: 'duration-unit',
        got: plain(tree),
        expected: 'a duration such as 1.5s',
        ...Suggestions.duration(tree),
      },
      `message google.protobuf.Duration: unexpected character: '${first}'; expected '"'`,
    );
  }
  const match = /^([-0-9]+)(?:\.(\d*))?([\s\S]*)$/.exec(tree);
  let problem: string | undefined;
  if (match === null) problem = 'duration must start with an integer';
  else if (!/^-?\d{1,19}$/.test(match[1]!)) problem = 'duration had bad seconds';
  else if (Math.abs(Number(match[1])) > maxDurationSeconds) problem = 'duration out of range';
  else if (match[2] !== undefined && !/^\d{1,9}$/.test(match[2])) problem = 'duration had bad nanoseconds';
  else if (match[3] !== 's') problem = "duration must end with a single 's'";
  if (problem !== undefined) {
    return fail(
      `"${tree}" is not a duration: ${problem}`,
      {
        rule: 'duration-unit',
        got: tree,
        expected: 'a duration such as 1.5s',
        ...Suggestions.duration(tree),
      },
      `message google.protobuf.Duration: ${problem}`,
    );
  }
  const sign = match![1]!.startsWith('-') ? -1 : 1;
  return {
    seconds: Number(match![1]) + 0,
    nanos: sign * Number((match![2] ?? '').padEnd(9, '0')) + 0,
  };
}

export function readTimestamp(tree: Tree, fail: Fail): unknown {
  if (typeof tree === 'string') {
    const match = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/.exec(tree);
    const ms = match === null ? Number.NaN : Date.parse(`${match[1]}T${match[2]}${match[4]}`);
    if (!Number.isNaN(ms)) return { seconds: ms / 1000, nanos: Number((match![3] ?? '').padEnd(9, '0')) };
  }
  return fail(
    `expected a time such as "2030-01-31T10:00:00Z", got ${describe(tree)}`,
    { rule: 'invalid-value', got: plain(tree), expected: 'an RFC 3339 time' },
    'message google.protobuf.Timestamp: bad timestamp',
  );
}

/** What protobuf puts in the place of a null in a list. */
export function emptyValue(field: Field): unknown {
  if (field.kind === 'enum') return field.enum.nameOf(0);
  if (field.kind === 'message') {
    switch (field.message.wellKnown) {
      case undefined:
        return field.message.create();
      case 'any':
        return { '@type': '' };
      case 'duration':
      case 'timestamp':
        return { seconds: 0, nanos: 0 };
      case 'wrapper':
        return field.message.field('value')!.defaultValue;
      case 'list_value':
        return [];
      case 'value':
        return null;
      default:
        return {};
    }
  }
  return scalarDefault(field.scalar!);
}

export function isMapKey(type: string, key: string): boolean {
  if (type === 'bool') return key === 'true' || key === 'false';
  if (!/^[+-]?\d+$/.test(key)) return false;
  const value = BigInt(key.replace('+', ''));
  const bits = type.endsWith('64') ? 64 : 32;
  return type.startsWith('u') || type.startsWith('fixed')
    ? value >= 0n && value === BigInt.asUintN(bits, value)
    : value === BigInt.asIntN(bits, value);
}

function parseFloat64(text: string): number | undefined {
  if (/^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/.test(text)) return Number(text);
  const word = text.toLowerCase();
  if (word === 'nan') return Number.NaN;
  if (/^\+?inf(?:inity)?$/.test(word)) return Number.POSITIVE_INFINITY;
  if (/^-inf(?:inity)?$/.test(word)) return Number.NEGATIVE_INFINITY;
  return undefined;
}
