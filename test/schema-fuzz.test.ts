// Random messages of random types through every form of a message, with Buf's library as an independent judge. A failure prints its seed.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { createFileRegistry, fromBinary, toJson as judgeJson, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import type { ConfigError } from '#config/config-error.ts';
import { readMessage } from '#config/read-message.ts';
import { treeOf } from '#config/tree-of.ts';
import { BinaryError, decodeMessage, encodeMessage } from '#schema/binary.ts';
import type { Field, Message, MessageType, Scalar } from '#schema/descriptor.ts';
import { jsonText, toJson } from '#schema/json.ts';
import { message, messageNames } from '#schema/registry.ts';
import { readText, writeText } from '#schema/text.ts';

const seed = Number(process.env.SEED ?? 1);
const rounds = Number(process.env.ROUNDS ?? 400);
const judge = createFileRegistry(
  fromBinary(FileDescriptorSetSchema, readFileSync(new URL('../src/schema/api.binpb', import.meta.url))),
);

// Options of descriptors have extensions and groups of their own ways; no configuration holds them.
const names = messageNames().filter((name) => !/^(google\.protobuf|validate|pb)\./.test(name));
const packable = names.filter((name) => name.startsWith('envoy.extensions.'));

class RandomMessages {
  #state: number;

  constructor(start: number) {
    this.#state = start;
  }

  // mulberry32
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }

  pick<T>(list: readonly T[]): T {
    return list[Math.floor(this.next() * list.length)]!;
  }

  message(type: MessageType, depth = 0): Message {
    const into = type.create();
    const chosen = new Set(type.oneofs.map((oneof) => this.pick(oneof.fields)));
    const share = depth === 0 ? 0.7 : 0.6 / depth;
    for (const field of type.fields) {
      // A null in JSON: not set, for a reader of configuration. Only literals of CEL have such fields.
      if (field.kind === 'enum' && field.enum.name === 'google.protobuf.NullValue') continue;
      if (depth > 5 || this.next() > share || (field.oneof && !chosen.has(field))) continue;
      if (field.isRepeated) into[field.name] = this.#some(() => this.#element(field, depth));
      else if (field.kind === 'map') {
        const keys = this.#some(() => String(this.#scalar(field.mapKey)));
        into[field.name] = Object.fromEntries(keys.map((key) => [key, this.#element(field.mapValue, depth)]));
      } else into[field.name] = this.#element(field, depth);
    }
    return into;
  }

  #some<T>(make: () => T): T[] {
    return Array.from({ length: 1 + Math.floor(this.next() * 3) }, make);
  }

  #element(field: Field, depth: number): unknown {
    if (field.kind === 'scalar') return this.#scalar(field.scalar!);
    if (field.kind === 'enum')
      return this.next() < 0.1 && !field.enum.file.isProto2 ? 4711 : this.pick(field.enum.values).name;
    const type = field.message;
    switch (type.wellKnown) {
      case undefined:
        return this.message(type, depth + 1);
      case 'any': {
        if (this.next() < 0.2)
          return {
            '@type': 'type.googleapis.com/google.protobuf.StringValue',
            value: this.#scalar('string'),
          };
        const packed = message(this.pick(packable))!;
        const content = this.message(packed, depth + 1);
        return Object.assign(content, { '@type': `type.googleapis.com/${packed.name}` });
      }
      case 'wrapper':
        return this.#scalar(type.field('value')!.scalar!);
      case 'duration': {
        const sign = this.next() < 0.5 ? -1 : 1;
        return {
          seconds: sign * this.#integer(1000),
          nanos: sign * this.pick([1, 1000, 250_000_000, 999_999_999]),
        };
      }
      case 'timestamp':
        return { seconds: this.#integer(2_000_000_000), nanos: this.pick([0, 1, 1000, 250_000_000]) };
      case 'field_mask':
        return Object.assign(type.create(), { paths: ['a.b_c', 'name'] });
      case 'struct':
        return this.#struct(depth);
      case 'list_value':
        return this.#some(() => this.#value(depth + 1));
      case 'value':
        return this.#value(depth);
    }
  }

  #struct(depth: number): Message {
    return Object.fromEntries(this.#some(() => [this.#scalar('string'), this.#value(depth + 1)]));
  }

  #value(depth: number): unknown {
    const simple = [null, true, this.#scalar('double'), this.#scalar('string')];
    const kind = Math.floor(this.next() * (depth > 4 ? 4 : 6));
    if (kind === 4) return this.#struct(depth);
    return kind === 5 ? this.#some(() => this.#value(depth + 1)) : simple[kind];
  }

  #integer(below: number): number {
    return Math.floor(this.next() * below);
  }

  #scalar(scalar: Scalar): unknown {
    switch (scalar) {
      case 'string':
        return this.pick([
          '',
          'x',
          'envoy.filters.http.router',
          'a\n\t"\\\'<b>\u0001',
          'größe 漢字 😀',
          '__proto__x',
          '7',
        ]);
      case 'bytes':
        return Uint8Array.from(this.#some(() => this.#integer(256)));
      case 'bool':
        return this.next() < 0.5;
      case 'double':
        return this.pick([0, 1.5, -0.1, 1e300, 5e-324, 12345678901, 1 / 3]);
      case 'float':
        return this.pick([0, 1.5, -0.25, 1e6, 16777216]); // the judge prints floats as doubles
      case 'int64':
      case 'sint64':
      case 'sfixed64':
        return this.pick([0n, 1n, -1n, -(2n ** 63n), 2n ** 63n - 1n]);
      case 'uint64':
      case 'fixed64':
        return this.pick([0n, 1n, 2n ** 64n - 1n]);
      case 'uint32':
      case 'fixed32':
        return this.pick([0, 1, 300, 4294967295]);
      default:
        return this.pick([0, 1, -1, 2147483647, -2147483648]);
    }
  }
}

// Numbers of C and of JSON: -0 and text forms aside.
const normal = (json: unknown) => JSON.parse(JSON.stringify(json));

test(`random messages are the same in every form (SEED=${seed})`, () => {
  const random = new RandomMessages(seed);
  let biggest = 0;
  for (let round = 0; round < rounds; round++) {
    const type = message(random.pick(names))!;
    const written = random.message(type);
    const where = `${type.name}, round ${round}`;

    const bytes = encodeMessage(type, written);
    biggest = Math.max(biggest, bytes.length);
    const read = decodeMessage(type, bytes);
    assert.deepEqual(encodeMessage(type, read), bytes, where);

    const problems: ConfigError[] = [];
    assert.deepEqual(readMessage(type, treeOf(normal(toJson(type, read))), problems), read, where);
    assert.deepEqual(problems, [], where);

    const text = readText(type, writeText(type, read));
    assert.deepEqual(text.problems, [], where);
    assert.deepEqual(text.message, read, where);

    const judged = judge.getMessage(type.name)!;
    const theirs = fromBinary(judged, bytes);
    assert.deepEqual(decodeMessage(type, toBinary(judged, theirs)), read, where);
    assert.deepEqual(
      normal(toJson(type, read)),
      normal(judgeJson(judged, theirs, { registry: judge, useProtoFieldName: true })),
      where,
    );
    assert.deepEqual(
      normal(toJson(type, read, { camelCase: true, defaults: true })),
      normal(judgeJson(judged, theirs, { registry: judge, alwaysEmitImplicit: true })),
      where,
    );
  }
  assert.ok(biggest > 1000, 'the messages have something in them');
});

test(`damaged bytes and texts are read or refused, nothing else (SEED=${seed})`, () => {
  const random = new RandomMessages(seed);
  let refused = 0;
  for (let round = 0; round < rounds; round++) {
    const type = message(random.pick(names))!;
    const written = random.message(type);

    const bytes = encodeMessage(type, written);
    for (let i = 0; i < 3 && bytes.length > 0; i++)
      bytes[Math.floor(random.next() * bytes.length)] = random.next() * 256;
    const cut = bytes.subarray(0, random.next() < 0.5 ? bytes.length : random.next() * bytes.length);
    try {
      const read = decodeMessage(type, cut);
      encodeMessage(type, read);
      jsonText(toJson(type, read, { redact: true }));
    } catch (error) {
      refused++;
      if (!(error instanceof BinaryError)) throw new Error(`${type.name}, round ${round}`, { cause: error });
    }

    const text = [...writeText(type, written)];
    for (let i = 0; i < 3; i++)
      text[Math.floor(random.next() * text.length)] = random.pick([...'{}[]<>:"\'#\\-0x a\n']);
    readText(type, text.join(''));
  }
  assert.ok(refused > rounds / 10);
});
