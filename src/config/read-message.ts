// Tree -> message: protobuf's JSON rules in the lenient form that Envoy uses (single values for lists, numbers and booleans in quotes,
// enum names in any case). Nothing stops at the first mistake: what can be read is read, every problem is collected.

import type { Field, Message, MessageType, WellKnown } from '#schema/descriptor.ts';
import { messageOfTypeUrl, message as messageType } from '#schema/registry.ts';
import { maxDurationSeconds, put } from '#schema/values.ts';
import { ConfigError, type ProblemDetails } from './config-error.ts';
import { Suggestions } from './suggestions.ts';
import { type Tree, TreeList, TreeMap } from './tree.ts';

export interface ReadOptions {
  /** What to do about fields and enum values that the schema does not have. Default: `error`, as Envoy for static configuration. */
  readonly unknownFields?: 'error' | 'warning' | 'ignore';
}

/** Reads one message. Problems get paths that start at `path`. */
export function readMessage(
  type: MessageType,
  tree: Tree,
  problems: ConfigError[],
  path = '',
  options: ReadOptions = {},
): Message {
  return new MessageReader(problems, path, options.unknownFields ?? 'error').root(type, tree);
}

/** After so many problems the rest of a file is read without looking for more. */
const maxProblems = 500;

/** Containers inside each other, as in the JSON reader of protobuf. */
const maxNesting = 100;

class MessageReader {
  readonly #problems: ConfigError[];
  readonly #unknownFields: 'error' | 'warning' | 'ignore';
  readonly #prefix: string;
  /** Field names, indices, and map keys in their brackets. */
  readonly #steps: (string | number)[] = [];
  /** The message types and trees around the one that is read, for suggestions. */
  readonly #around: { type: MessageType; tree: TreeMap; field: string }[] = [];
  #depth = 0;
  /** Name of the innermost packed message, which Envoy names in its words. */
  #rootType = '';

  constructor(problems: ConfigError[], prefix: string, unknownFields: 'error' | 'warning' | 'ignore') {
    this.#problems = problems;
    this.#prefix = prefix;
    this.#unknownFields = unknownFields;
  }

  root(type: MessageType, tree: Tree): Message {
    this.#rootType = type.name;
    const value =
      type.wellKnown === undefined ? this.#message(type, tree) : this.#wellKnown(type.wellKnown, type, tree);
    return (value ?? type.create()) as Message;
  }

  get #path(): string {
    let path = this.#prefix;
    for (const step of this.#steps) {
      if (typeof step === 'number') path += `[${step}]`;
      else if (step[0] === '[') path += step;
      else path += path === '' ? step : `.${step}`;
    }
    return path;
  }

  #fail(problem: string, details: ProblemDetails, envoy?: string): undefined {
    if (this.#problems.length >= maxProblems) return;
    const words = `Unable to parse JSON as proto (INVALID_ARGUMENT: invalid JSON in ${this.#rootType} @ ${this.#path}: ${envoy ?? problem})`;
    this.#problems.push(
      new ConfigError(this.#path, problem, { rule: 'invalid-value', envoy: words, ...details }),
    );
  }

  /** Unknown fields and enum values: refused, noted or passed over. */
  #unknown(problem: string, details: ProblemDetails, envoy: string): void {
    if (this.#unknownFields === 'ignore' || this.#problems.length >= maxProblems) return;
    const words = `Protobuf message (type ${this.#rootType} reason INVALID_ARGUMENT: ${envoy}) has unknown fields`;
    this.#problems.push(
      new ConfigError(this.#path, problem, { envoy: words, ...details }, this.#unknownFields),
    );
  }

  #message(type: MessageType, tree: Tree): Message | undefined {
    if (!(tree instanceof TreeMap)) return this.#failObject(type, tree);
    const message = type.create() as Message;
    this.#fields(type, tree, message, undefined);
    return message;
  }

  #failObject(type: MessageType, tree: Tree): undefined {
    const first = tree instanceof TreeList ? '[' : typeof tree === 'string' ? '"' : String(tree)[0];
    const suggestion =
      tree instanceof TreeList ? Suggestions.listForObject(tree) : Suggestions.scalarForObject(type, tree);
    return this.#fail(
      `expected an object (${shortName(type)}), got ${describe(tree)}`,
      {
        got: plain(tree),
        expected: `an object with the fields of ${type.name}`,
        ...(suggestion !== undefined && { suggestion }),
        rule: tree instanceof TreeList ? 'list-for-object' : 'wrong-type',
      },
      `message ${type.name}: unexpected character: '${first}'; expected '{'`,
    );
  }

  #fields(type: MessageType, tree: TreeMap, message: Message, skip: string | undefined): void {
    if (++this.#depth > maxNesting) {
      this.#fail(
        `more than ${maxNesting} levels deep`,
        { rule: 'too-deep' },
        'JSON content was too deeply nested',
      );
      this.#depth--;
      return;
    }
    const { keys, values } = tree;
    const around = { type, tree, field: '' };
    this.#around.push(around);
    for (let i = 0; i < keys.length; i++) {
      const key = keys[i]!;
      if (key === skip) continue;
      const field = type.field(key) ?? type.fieldByJsonName(key);
      if (field === undefined) {
        this.#unknownField(type, key, values[i]!);
        continue;
      }
      around.field = field.name;
      this.#steps.push(field.name);
      this.#field(field, values[i]!, message);
      this.#steps.pop();
    }
    this.#around.pop();
    this.#depth--;
  }

  #unknownField(type: MessageType, key: string, value: Tree): void {
    if (this.#unknownFields === 'ignore' || this.#problems.length >= maxProblems) return;
    const suggestion = Suggestions.unknownField(type, key, value, this.#around);
    const envoy = `invalid JSON in ${this.#rootType} @ ${this.#path}: message ${type.name}: no such field: '${key}'`;
    this.#steps.push(key);
    this.#unknown(
      `no such field: "${key}" in ${type.name}`,
      {
        rule: 'unknown-field',
        got: key,
        point: 'key',
        expected: Suggestions.knownFields(type),
        ...(suggestion !== undefined && { suggestion }),
      },
      envoy,
    );
    this.#steps.pop();
  }

  #field(field: Field, tree: Tree, message: Message): void {
    if (
      tree === null &&
      !(field.kind === 'message' && !field.isRepeated && field.message.wellKnown === 'value')
    )
      return;
    if (field.oneof !== undefined) this.#checkOneof(field, message);
    if (field.kind === 'map') {
      const map = this.#map(field, tree);
      if (map !== undefined) message[field.name] = map;
    } else if (field.isRepeated) {
      const list = (Object.hasOwn(message, field.name) ? message[field.name] : []) as unknown[];
      message[field.name] = list;
      if (tree instanceof TreeList) this.#list(field, tree, list);
      else this.#singleForList(field, tree, list);
    } else {
      const value = this.#value(field, tree);
      if (value !== undefined) message[field.name] = value;
    }
  }

  #checkOneof(field: Field, message: Message): void {
    for (const other of field.oneof!.fields) {
      if (!Object.hasOwn(message, other.name)) continue;
      this.#fail(
        `"${field.name}" and "${other.name}" exclude each other: only one of ${names(field.oneof!.fields)} may be set`,
        {
          rule: 'oneof-conflict',
          point: 'key',
          expected: `one of ${names(field.oneof!.fields)}`,
          suggestion: `remove "${field.name}" or "${other.name}"`,
        },
        `'${field.name}' has already been set (either directly or as part of a oneof)`,
      );
      if (other !== field) delete message[other.name];
      return;
    }
  }

  /** Protobuf takes one value for a list of one. That is nearly always a missing `- `. */
  #singleForList(field: Field, tree: Tree, list: unknown[]): void {
    const before = this.#problems.length;
    this.#steps.push(list.length);
    const value = this.#value(field, tree);
    this.#steps.pop();
    if (value !== undefined) list.push(value);
    // What went wrong inside is explained by the missing dash.
    const found = this.#problems.splice(before);
    if (found.length > 0 && tree instanceof TreeMap && field.kind === 'message') {
      const [first] = found;
      this.#problems.push(
        new ConfigError(this.#path, `expected a list of ${shortName(field.message)}, got an object`, {
          rule: 'object-for-list',
          got: plain(tree),
          expected: `a list: each element starts with "- "`,
          suggestion: `put "- " before each element of "${field.name}"`,
          ...(first?.envoy !== undefined && { envoy: first.envoy }),
        }),
      );
    } else this.#problems.push(...found);
  }

  #list(field: Field, tree: TreeList, list: unknown[]): void {
    if (++this.#depth > maxNesting) {
      this.#fail(
        `more than ${maxNesting} levels deep`,
        { rule: 'too-deep' },
        'JSON content was too deeply nested',
      );
      this.#depth--;
      return;
    }
    const { items } = tree;
    const isValue =
      field.kind === 'message' &&
      (field.message.wellKnown === 'value' || field.message.wellKnown === 'list_value');
    for (let i = 0; i < items.length; i++) {
      const item = items[i]!;
      this.#steps.push(i);
      if (item === null && !isValue) list.push(emptyValue(field));
      else if (item instanceof TreeList && !isValue) this.#list(field, item, list);
      else {
        const value = this.#value(field, item);
        if (value !== undefined) list.push(value);
      }
      this.#steps.pop();
    }
    this.#depth--;
  }

  #map(field: Field, tree: Tree): Record<string, unknown> | undefined {
    if (!(tree instanceof TreeMap)) {
      return this.#fail(
        `expected a map, got ${describe(tree)}`,
        { rule: 'wrong-type', got: plain(tree), expected: 'an object: "key: value"' },
        `unexpected character: '${tree instanceof TreeList ? '[' : '"'}'; expected '{'`,
      );
    }
    if (++this.#depth > maxNesting) {
      this.#depth--;
      return this.#fail(
        `more than ${maxNesting} levels deep`,
        { rule: 'too-deep' },
        'JSON content was too deeply nested',
      );
    }
    const map: Record<string, unknown> = {};
    const value = field.mapValue;
    const keyType = field.mapKey;
    for (let i = 0; i < tree.keys.length; i++) {
      const key = tree.keys[i]!;
      this.#steps.push(`[${JSON.stringify(key)}]`);
      if (keyType !== 'string' && !isMapKey(keyType, key)) {
        this.#fail(
          `"${key}" is not a key of type ${keyType}`,
          { rule: 'invalid-value', got: key, point: 'key', expected: `a key of type ${keyType}` },
          'non-number characters in quoted number',
        );
      } else {
        const item = tree.values[i]!;
        const read = item === null && !isValueField(value) ? emptyValue(value) : this.#value(value, item);
        if (read !== undefined) put(map, key, read);
      }
      this.#steps.pop();
    }
    this.#depth--;
    return map;
  }

  /** One value, of a singular field or one element. Undefined when it could not be read, which has been reported. */
  #value(field: Field, tree: Tree): unknown {
    switch (field.kind) {
      case 'scalar':
        return this.#scalar(field, tree);
      case 'enum':
        return this.#enum(field, tree);
      default: {
        const type = field.message;
        return type.wellKnown === undefined
          ? this.#message(type, tree)
          : this.#wellKnown(type.wellKnown, type, tree);
      }
    }
  }

  #scalar(field: Field, tree: Tree): unknown {
    switch (field.scalar!) {
      case 'string':
        return typeof tree === 'string' ? tree : this.#failString(tree);
      case 'bool':
        return this.#bool(tree);
      case 'bytes':
        return this.#bytes(tree);
      case 'double':
        return this.#float(tree, false);
      case 'float':
        return this.#float(tree, true);
      case 'uint32':
      case 'fixed32':
        return this.#integer(tree, 0n, 0xffffffffn, 'uint32');
      case 'int32':
      case 'sint32':
      case 'sfixed32':
        return this.#integer(tree, -0x80000000n, 0x7fffffffn, 'int32');
      case 'uint64':
      case 'fixed64':
        return this.#integer(tree, 0n, 0xffffffffffffffffn, 'uint64');
      default:
        return this.#integer(tree, -0x8000000000000000n, 0x7fffffffffffffffn, 'int64');
    }
  }

  #failString(tree: Tree): undefined {
    const first = tree instanceof TreeMap ? '{' : tree instanceof TreeList ? '[' : String(tree)[0];
    return this.#fail(
      `expected a string, got ${describe(tree)}`,
      { rule: 'wrong-type', got: plain(tree), expected: 'a string', ...Suggestions.quotes(tree) },
      `unexpected character: '${first}'; expected '"'`,
    );
  }

  #bool(tree: Tree): boolean | undefined {
    if (typeof tree === 'boolean') return tree;
    if (typeof tree === 'string') {
      const word = tree.toLowerCase();
      if (['true', 't', 'yes', 'y', '1'].includes(word)) return true;
      if (['false', 'f', 'no', 'n', '0'].includes(word)) return false;
    }
    const suggestion = tree === 1 ? 'write true' : tree === 0 ? 'write false' : undefined;
    return this.#fail(
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

  #bytes(tree: Tree): Uint8Array | undefined {
    if (tree instanceof Uint8Array) return tree;
    if (typeof tree !== 'string') return this.#failString(tree);
    const digits = tree.replace(/={1,2}$/, '');
    if (/^[A-Za-z0-9+/_-]*$/.test(digits) && digits.length % 4 !== 1)
      return new Uint8Array(Buffer.from(digits, 'base64'));
    return this.#fail(
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

  #float(tree: Tree, is32Bit: boolean): number | undefined {
    let value: number | undefined;
    if (typeof tree === 'number') value = tree;
    else if (typeof tree === 'bigint') value = Number(tree);
    else if (typeof tree === 'string') value = parseFloat64(tree);
    if (value === undefined) {
      return this.#fail(
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
      return this.#fail(
        `${value} does not fit into a float`,
        { rule: 'out-of-range', got: value, expected: 'a number up to 3.4e38' },
        'float out of range',
      );
    }
    return value;
  }

  #integer(
    tree: Tree,
    min: bigint,
    max: bigint,
    type: 'uint32' | 'int32' | 'uint64' | 'int64',
  ): number | bigint | undefined {
    const is64Bit = type === 'uint64' || type === 'int64';
    if (typeof tree === 'number' && Number.isInteger(tree) && !is64Bit) {
      if (tree >= Number(min) && tree <= Number(max)) return tree + 0;
      return this.#failRange(tree, min, max, type);
    }
    let value: bigint | undefined;
    if (typeof tree === 'bigint') value = tree;
    else if (typeof tree === 'number' || typeof tree === 'string') {
      if (typeof tree === 'string' && /^[+-]?\d+$/.test(tree)) value = BigInt(tree.replace('+', ''));
      else {
        const float = typeof tree === 'number' ? tree : /\s/.test(tree) ? undefined : parseFloat64(tree);
        if (float === undefined || !Number.isFinite(float)) return this.#failInteger(tree, type);
        if (!Number.isInteger(float)) {
          return this.#fail(
            `expected an integer, got ${float}`,
            { rule: 'invalid-value', got: plain(tree), expected: `an integer (${type})` },
            'expected integer, but JSON number had fractional part',
          );
        }
        value = BigInt(float);
      }
    } else return this.#failInteger(tree, type);
    if (value < min || value > max) return this.#failRange(value, min, max, type);
    return is64Bit ? value : Number(value);
  }

  #failInteger(tree: Tree, type: string): undefined {
    return this.#fail(
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

  #failRange(value: number | bigint, min: bigint, max: bigint, type: string): undefined {
    return this.#fail(
      `${value} is out of range for ${type}`,
      { rule: 'out-of-range', got: value, expected: `an integer from ${min} to ${max}` },
      value < 0 && min === 0n ? 'JSON number out of range for int' : 'integer out of range',
    );
  }

  #enum(field: Field, tree: Tree): string | number | undefined {
    const type = field.enum;
    if (typeof tree === 'number' || typeof tree === 'bigint') {
      const number = this.#integer(tree, -0x80000000n, 0x7fffffffn, 'int32');
      return number === undefined ? undefined : type.nameOf(number as number);
    }
    if (typeof tree !== 'string') {
      return this.#fail(
        `expected a value of ${type.name}, got ${describe(tree)}`,
        {
          rule: 'wrong-type',
          got: plain(tree),
          expected: Suggestions.enumValues(type),
          ...Suggestions.quotes(tree),
        },
        'expected number or string',
      );
    }
    if (type.value(tree) !== undefined) return tree;
    const wanted = tree.toUpperCase();
    for (const value of type.values) if (value.name.toUpperCase() === wanted) return value.name;
    if (/^[+-]?\d+$/.test(tree) && Math.abs(Number(tree)) <= 0x7fffffff) return type.nameOf(Number(tree));
    const suggestion = Suggestions.enumValue(type, tree);
    this.#unknown(
      `unknown value "${tree}" for the enum ${type.name}`,
      {
        rule: 'unknown-enum-value',
        got: tree,
        expected: Suggestions.enumValues(type),
        ...(suggestion !== undefined && { suggestion }),
      },
      `unknown enum value: '${tree}'`,
    );
    return undefined;
  }

  #wellKnown(kind: WellKnown, type: MessageType, tree: Tree): unknown {
    switch (kind) {
      case 'any':
        return this.#any(tree);
      case 'value':
        return this.#json(tree);
      case 'struct':
        if (tree instanceof TreeMap) return this.#json(tree);
        return this.#failObject(type, tree);
      case 'list_value':
        if (tree instanceof TreeList) return this.#json(tree);
        return this.#fail(`expected a list, got ${describe(tree)}`, {
          rule: 'wrong-type',
          got: plain(tree),
          expected: 'a list',
        });
      case 'wrapper':
        if (tree instanceof TreeMap) return this.#message(type, tree)?.value;
        return this.#scalar(type.field('value')!, tree);
      case 'duration':
        if (tree instanceof TreeMap) return this.#secondsAndNanos(type, tree);
        return this.#duration(tree);
      case 'timestamp':
        if (tree instanceof TreeMap) return this.#secondsAndNanos(type, tree);
        return this.#timestamp(tree);
      case 'field_mask':
        return this.#fieldMask(type, tree);
    }
  }

  #secondsAndNanos(type: MessageType, tree: TreeMap): unknown {
    const message = this.#message(type, tree)!;
    return { seconds: Number(message.seconds), nanos: Number(message.nanos) };
  }

  #duration(tree: Tree): unknown {
    if (typeof tree !== 'string') {
      const first = tree instanceof TreeList ? '[' : String(tree)[0];
      return this.#fail(
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
      return this.#fail(
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

  #timestamp(tree: Tree): unknown {
    if (typeof tree === 'string') {
      const match = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/.exec(tree);
      const ms = match === null ? Number.NaN : Date.parse(`${match[1]}T${match[2]}${match[4]}`);
      if (!Number.isNaN(ms)) return { seconds: ms / 1000, nanos: Number((match![3] ?? '').padEnd(9, '0')) };
    }
    return this.#fail(
      `expected a time such as "2030-01-31T10:00:00Z", got ${describe(tree)}`,
      { rule: 'invalid-value', got: plain(tree), expected: 'an RFC 3339 time' },
      'message google.protobuf.Timestamp: bad timestamp',
    );
  }

  #fieldMask(type: MessageType, tree: Tree): unknown {
    if (tree instanceof TreeMap) return this.#message(type, tree);
    if (typeof tree !== 'string') return this.#failString(tree);
    const message = type.create() as Message;
    if (tree !== '')
      message.paths = tree.split(',').map((it) => it.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`));
    return message;
  }

  #any(tree: Tree): unknown {
    const anyType = messageType('google.protobuf.Any')!;
    if (!(tree instanceof TreeMap)) return this.#failObject(anyType, tree);
    const first = tree.keys.indexOf('@type');
    if (first < 0) {
      if (tree.keys.length === 0) return { '@type': '' };
      return this.#fail(
        'needs "@type", which says what kind of message this is',
        {
          rule: 'missing-type',
          expected: '"@type": type.googleapis.com/...',
          ...Suggestions.missingType(tree),
        },
        'in legacy mode, missing @type in Any is only allowed for an empty object',
      );
    }
    const url = tree.get('@type')!;
    this.#steps.push('@type');
    const type = this.#typeOf(url);
    this.#steps.pop();
    if (type === undefined) return undefined;
    if (type.wellKnown !== undefined) return this.#packedWellKnown(type, tree, url as string);
    const message = type.create() as Message;
    message['@type'] = url;
    this.#fields(type, tree, message, '@type');
    return message;
  }

  #typeOf(url: Tree): MessageType | undefined {
    if (typeof url !== 'string') return this.#failString(url);
    if (url.indexOf('/') < 1) {
      return this.#fail(
        `"${url}" is not a type URL`,
        {
          rule: 'unknown-type',
          got: url,
          expected: 'type.googleapis.com/ and the full name of a message',
          ...Suggestions.typeUrl(url),
        },
        `@type must contain at least one / and a nonempty host; got: ${url}`,
      );
    }
    const type = messageOfTypeUrl(url);
    if (type === undefined) {
      this.#fail(
        `unknown type "${url}"`,
        {
          rule: 'unknown-type',
          got: url,
          expected: 'the full name of a message',
          ...Suggestions.typeUrl(url),
        },
        `could not find @type '${url}'`,
      );
    }
    return type;
  }

  #packedWellKnown(type: MessageType, tree: TreeMap, url: string): Message {
    const message: Message = { '@type': url };
    for (let i = 0; i < tree.keys.length; i++) {
      const key = tree.keys[i]!;
      if (key === '@type') continue;
      this.#steps.push(key);
      if (key !== 'value') {
        this.#fail(
          `${shortName(type)} stands under "value" here`,
          {
            rule: 'wrong-type',
            got: key,
            point: 'key',
            expected: '"@type" and "value"',
            suggestion: `put it under "value"`,
          },
          'fields in a well-known-typed Any must be @type or value',
        );
      } else message.value = this.#wellKnown(type.wellKnown!, type, tree.values[i]!);
      this.#steps.pop();
    }
    return message;
  }

  /** Struct, Value, ListValue: JSON as it is. */
  #json(tree: Tree): unknown {
    if (tree === null || typeof tree === 'boolean' || typeof tree === 'number' || typeof tree === 'string')
      return tree;
    if (typeof tree === 'bigint') return Number(tree);
    if (tree instanceof Uint8Array) return Buffer.from(tree).toString('base64');
    if (++this.#depth > maxNesting) {
      this.#depth--;
      return this.#fail(
        `more than ${maxNesting} levels deep`,
        { rule: 'too-deep' },
        'JSON content was too deeply nested',
      );
    }
    let result: unknown;
    if (tree instanceof TreeList) result = tree.items.map((item, i) => this.#jsonAt(i, item));
    else {
      const object: Record<string, unknown> = {};
      for (let i = 0; i < tree.keys.length; i++) {
        put(object, tree.keys[i]!, this.#jsonAt(`[${JSON.stringify(tree.keys[i])}]`, tree.values[i]!));
      }
      result = object;
    }
    this.#depth--;
    return result;
  }

  #jsonAt(step: string | number, tree: Tree): unknown {
    this.#steps.push(step);
    const value = this.#json(tree);
    this.#steps.pop();
    return value ?? null;
  }
}

function isValueField(field: Field): boolean {
  return field.kind === 'message' && field.message.wellKnown === 'value';
}

/** What protobuf puts in the place of a null in a list. */
function emptyValue(field: Field): unknown {
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
  switch (field.scalar) {
    case 'string':
      return '';
    case 'bool':
      return false;
    case 'bytes':
      return new Uint8Array(0);
    case 'int64':
    case 'uint64':
    case 'sint64':
    case 'fixed64':
    case 'sfixed64':
      return 0n;
    default:
      return 0;
  }
}

function isMapKey(type: string, key: string): boolean {
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

function names(fields: readonly Field[]): string {
  return fields.map((it) => `"${it.name}"`).join(', ');
}

export function shortName(type: MessageType): string {
  return type.name.slice(type.name.lastIndexOf('.') + 1);
}

/** A value in words, for "got ...". */
export function describe(tree: Tree): string {
  if (tree === null) return 'nothing';
  if (tree instanceof TreeMap) return 'an object';
  if (tree instanceof TreeList) return 'a list';
  if (tree instanceof Uint8Array) return 'bytes';
  if (typeof tree === 'string') return JSON.stringify(tree.length > 60 ? `${tree.slice(0, 57)}...` : tree);
  if (typeof tree === 'boolean') return `the boolean ${tree}`;
  return `the number ${tree}`;
}

/** A value for machine-readable output: scalars as they are, containers by what they are. */
function plain(tree: Tree): unknown {
  if (tree instanceof TreeMap) return '{...}';
  if (tree instanceof TreeList) return '[...]';
  return tree;
}
