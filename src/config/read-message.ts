// Tree -> message: protobuf's JSON rules in the lenient form that Envoy uses (single values for lists, numbers and booleans in quotes,
// enum names in any case). Nothing stops at the first mistake: what can be read is read, every problem is collected.

import type { Field, Message, MessageType, WellKnown } from '#schema/descriptor.ts';
import { messageOfTypeUrl, message as messageType } from '#schema/registry.ts';
import { put } from '#schema/values.ts';
import { ConfigError, type ProblemDetails } from './config-error.ts';
import { describe, plain } from './describe.ts';
import {
  emptyValue,
  type Fail,
  failString,
  isMapKey,
  readDuration,
  readInteger,
  readScalar,
  readTimestamp,
} from './read-scalar.ts';
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

  readonly #failHere: Fail = (problem, details, envoy) => this.#fail(problem, details, envoy);

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

  /** One level deeper, whose end is `this.#depth--`. False: too deep, and said. */
  #descend(): boolean {
    if (this.#depth < maxNesting) {
      this.#depth++;
      return true;
    }
    this.#fail(
      `more than ${maxNesting} levels deep`,
      { rule: 'too-deep' },
      'JSON content was too deeply nested',
    );
    return false;
  }

  #fields(type: MessageType, tree: TreeMap, message: Message, skip: string | undefined): void {
    if (!this.#descend()) return;
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
      // Without the room to grow: most lists have one element, and there are many.
      message[field.name] = list.slice();
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
    if (!this.#descend()) return;
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
        return readScalar(field, tree, this.#failHere);
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

  #enum(field: Field, tree: Tree): string | number | undefined {
    const type = field.enum;
    if (typeof tree === 'number' || typeof tree === 'bigint') {
      const number = readInteger(tree, -0x80000000n, 0x7fffffffn, 'int32', this.#failHere);
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
        return readScalar(type.field('value')!, tree, this.#failHere);
      case 'duration':
        if (tree instanceof TreeMap) return this.#secondsAndNanos(type, tree);
        return readDuration(tree, this.#failHere);
      case 'timestamp':
        if (tree instanceof TreeMap) return this.#secondsAndNanos(type, tree);
        return readTimestamp(tree, this.#failHere);
      case 'field_mask':
        return this.#fieldMask(type, tree);
    }
  }

  #secondsAndNanos(type: MessageType, tree: TreeMap): unknown {
    const message = this.#message(type, tree)!;
    return { seconds: Number(message.seconds), nanos: Number(message.nanos) };
  }

  #fieldMask(type: MessageType, tree: Tree): unknown {
    if (tree instanceof TreeMap) return this.#message(type, tree);
    if (typeof tree !== 'string') return failString(tree, this.#failHere);
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
    if (tree.keys.lastIndexOf('@type') !== first) {
      return this.#fail(
        '"@type" stands twice',
        { rule: 'unknown-type', point: 'key', suggestion: 'keep one' },
        'repeated @type in Any',
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
    if (typeof url !== 'string') return failString(url, this.#failHere);
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
    if (type !== undefined) return type;
    return this.#fail(
      `unknown type "${url}"`,
      { rule: 'unknown-type', got: url, expected: 'the full name of a message', ...Suggestions.typeUrl(url) },
      `could not find @type '${url}'`,
    );
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

function names(fields: readonly Field[]): string {
  return fields.map((it) => `"${it.name}"`).join(', ');
}

export function shortName(type: MessageType): string {
  return type.name.slice(type.name.lastIndexOf('.') + 1);
}
