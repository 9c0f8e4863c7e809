// Protobuf's binary form, by descriptor: what arrives over xDS, what a control plane sends, and `.pb` files.
import { type Field, type Message, type MessageType, type Scalar, scalarDefault } from './descriptor.ts';
import { messageOfTypeUrl } from './registry.ts';
import { parseBase64, put } from './values.ts';
import { emptyValue, enumNumber, fromFields, isDefault, sortedKeys, toFields } from './well-known.ts';
import { WireReader, WireType, WireWriter } from './wire.ts';

/** Bytes that are not the message they should be. `path` uses the proto field names, `offset` counts from the start of the bytes. */
export class BinaryError extends Error {
  override readonly name = 'BinaryError';
  readonly path: string;
  readonly offset: number;

  constructor(path: string, problem: string, offset: number, options?: ErrorOptions) {
    super(`${path && `${path}: `}${problem} at byte ${offset}`, options);
    this.path = path;
    this.offset = offset;
  }
}

export interface DecodeOptions {
  /** Called for each field that the schema does not have, with the path of the message that carries it. */
  readonly onUnknownField?: (path: string, number: number) => void;
}

/** Reads a message. Fields that the schema does not know are left out. Throws `BinaryError`. */
export function decodeMessage<T extends object>(
  type: MessageType<T>,
  bytes: Uint8Array,
  options: DecodeOptions = {},
): T {
  return new Decoder(bytes, options).root(type as MessageType) as T;
}

/** Like protobuf in every other language. */
const maxDepth = 100;

class Decoder {
  readonly #reader: WireReader;
  readonly #onUnknownField: DecodeOptions['onUnknownField'];
  /** Where we are: field names, indices, map keys. */
  readonly #path: (string | number)[] = [];
  #depth = 0;

  constructor(bytes: Uint8Array, options: DecodeOptions) {
    this.#reader = new WireReader(bytes);
    this.#onUnknownField = options.onUnknownField;
  }

  root(type: MessageType): Message {
    try {
      return this.#fields(type, this.#reader.end, type.create());
    } catch (error) {
      if (error instanceof BinaryError) throw error;
      throw new BinaryError(this.#pathText(), (error as Error).message, this.#reader.pos, { cause: error });
    }
  }

  #fields(type: MessageType, end: number, into: Message): Message {
    if (this.#depth++ > maxDepth) this.#fail(`more than ${maxDepth} messages inside each other`);
    const reader = this.#reader;
    while (reader.pos < end) {
      const tag = reader.tag();
      const field = type.fieldByNumber(tag >>> 3);
      if (field) {
        this.#path.push(field.name);
        const isRead = this.#field(field, tag & 7, into);
        this.#path.pop();
        if (isRead) continue;
      }
      this.#onUnknownField?.(this.#pathText(), tag >>> 3);
      reader.skip(tag);
    }
    this.#expectEnd(end);
    this.#depth--;
    return into;
  }

  /** False when the wire type does not fit: protobuf treats that as an unknown field. */
  #field(field: Field, wireType: number, into: Message): boolean {
    if (field.isRepeated && wireType === WireType.Bytes && isPackable(field)) {
      const list = own(into, field.name, () => [] as unknown[]);
      const end = this.#reader.length();
      while (this.#reader.pos < end) list.push(this.#value(field, undefined));
      this.#expectEnd(end);
      return true;
    }
    if (wireType !== wireTypeOf(field)) return false;
    if (field.isRepeated) {
      const list = own(into, field.name, () => [] as unknown[]);
      this.#path.push(list.length);
      list.push(this.#value(field, undefined));
      this.#path.pop();
    } else if (field.kind === 'map') {
      this.#mapEntry(
        field,
        own(into, field.name, () => ({})),
      );
    } else {
      if (field.oneof) clearOthers(field, into);
      into[field.name] = this.#value(field, into[field.name]);
    }
    return true;
  }

  #mapEntry(field: Field, map: Record<string, unknown>): void {
    const end = this.#reader.length();
    const valueField = field.mapValue;
    let key: unknown = scalarDefault(field.mapKey);
    let value: unknown;
    while (this.#reader.pos < end) {
      const tag = this.#reader.tag();
      if (tag === tagOf(1, scalarWireType(field.mapKey))) key = this.#scalar(field.mapKey);
      else if (tag === tagOf(2, wireTypeOf(valueField))) {
        this.#path.push(String(key));
        value = this.#value(valueField, value);
        this.#path.pop();
      } else this.#reader.skip(tag);
    }
    this.#expectEnd(end);
    put(map, String(key), value === undefined ? emptyValue(valueField) : value);
  }

  /** One value in its form in memory. A message that occurs twice is merged into `before`. */
  #value(field: Field, before: unknown): unknown {
    if (field.kind === 'scalar') return this.#scalar(field.scalar!);
    if (field.kind === 'enum') return field.enum.nameOf(this.#reader.int32());
    return this.#content(field.message, this.#reader.length(), before);
  }

  #content(type: MessageType, end: number, before: unknown): unknown {
    if (type.wellKnown === 'any') return this.#any(end);
    const isMerged = type.wellKnown === undefined || type.wellKnown === 'field_mask';
    const into = isMerged && before !== undefined ? (before as Message) : type.create();
    return fromFields(type, this.#fields(type, end, into), before);
  }

  /**
   * The packed message itself with its `@type`. A second occurrence of the field replaces the first: pieces of two packed messages are
   * of no type.
   */
  #any(end: number): Message {
    const reader = this.#reader;
    let url = '';
    let start = end;
    let valueEnd = end;
    while (reader.pos < end) {
      const tag = reader.tag();
      if (tag === tagOf(1, WireType.Bytes)) url = reader.text();
      else if (tag === tagOf(2, WireType.Bytes)) {
        valueEnd = reader.length();
        start = reader.pos;
        reader.pos = valueEnd;
      } else reader.skip(tag);
    }
    this.#expectEnd(end);
    const type = messageOfTypeUrl(url);
    reader.pos = start;
    let result: Message;
    if (!type) result = { '@type': url, value: reader.copy(start, valueEnd) };
    else if (type.wellKnown) result = { '@type': url, value: this.#content(type, valueEnd, undefined) };
    else {
      result = type.create();
      result['@type'] = url;
      this.#fields(type, valueEnd, result);
    }
    reader.pos = end;
    return result;
  }

  #scalar(scalar: Scalar): unknown {
    const reader = this.#reader;
    switch (scalar) {
      case 'string':
        return reader.text();
      case 'bytes':
        return new Uint8Array(reader.bytes()); // a copy, so that it does not keep all the input alive
      default:
        return reader[scalar]();
    }
  }

  #expectEnd(end: number): void {
    if (this.#reader.pos !== end) this.#fail('a field reaches beyond the end of its message');
  }

  #fail(problem: string): never {
    throw new BinaryError(this.#pathText(), problem, this.#reader.pos);
  }

  #pathText(): string {
    let text = '';
    for (const step of this.#path)
      text += typeof step === 'number' ? `[${step}]` : text === '' ? step : `.${step}`;
    return text;
  }
}

function own<T>(message: Message, name: string, make: () => T): T {
  if (!Object.hasOwn(message, name)) message[name] = make();
  return message[name] as T;
}

// The last member of a oneof that occurs is the one that counts.
function clearOthers(field: Field, message: Message): void {
  for (const other of field.oneof!.fields)
    if (other !== field && Object.hasOwn(message, other.name)) delete message[other.name];
}

const tagOf = (number: number, wireType: WireType) => (number << 3) | wireType;

function isPackable(field: Field): boolean {
  return wireTypeOf(field) !== WireType.Bytes;
}

function wireTypeOf(field: Field): WireType {
  if (field.kind === 'scalar') return scalarWireType(field.scalar!);
  return field.kind === 'enum' ? WireType.Varint : WireType.Bytes;
}

function scalarWireType(scalar: Scalar): WireType {
  switch (scalar) {
    case 'string':
    case 'bytes':
      return WireType.Bytes;
    case 'double':
    case 'fixed64':
    case 'sfixed64':
      return WireType.Bit64;
    case 'float':
    case 'fixed32':
    case 'sfixed32':
      return WireType.Bit32;
    default:
      return WireType.Varint;
  }
}

/**
 * Writes a message: fields in the order of their numbers, map entries in the order of their keys, so that equal messages give equal bytes.
 * Takes the forms of JSON too where they are clear: `'0.25s'`, base64, numbers in strings. Throws when a value does not fit its field.
 */
export function encodeMessage(type: MessageType<object>, message: object): Uint8Array {
  const writer = new WireWriter();
  writeFields(writer, type as MessageType, message as Message);
  return writer.finish();
}

function writeFields(writer: WireWriter, type: MessageType, message: Message): void {
  for (const field of type.fieldsByNumber) {
    const value = message[field.name];
    if (value === undefined || value === null) {
      // A null in a google.protobuf.Value is a value.
      if (value === undefined || field.kind !== 'message' || field.message.wellKnown !== 'value') continue;
    }
    if (field.isRepeated) writeList(writer, field, value as readonly unknown[]);
    else if (field.kind === 'map') writeMap(writer, field, value as Message);
    else if (field.hasPresence || !isDefault(field, value)) writeTagged(writer, field, value);
  }
}

function writeList(writer: WireWriter, field: Field, list: readonly unknown[]): void {
  if (list.length === 0) return;
  if (!field.isPacked) {
    for (const value of list) writeTagged(writer, field, value);
    return;
  }
  writer.tag(field.number, WireType.Bytes);
  const start = writer.fork();
  for (const value of list) writeValue(writer, field, value);
  writer.join(start);
}

function writeMap(writer: WireWriter, field: Field, map: Message): void {
  const { mapKey, mapValue } = field;
  for (const key of sortedKeys(map, mapKey)) {
    writer.tag(field.number, WireType.Bytes);
    const start = writer.fork();
    writer.tag(1, scalarWireType(mapKey));
    writeScalar(writer, mapKey, mapKey === 'bool' ? key === 'true' : key);
    writeTagged(writer, mapValue, map[key]);
    writer.join(start);
  }
}

function writeTagged(writer: WireWriter, field: Field, value: unknown): void {
  writer.tag(field.number, wireTypeOf(field));
  writeValue(writer, field, value);
}

function writeValue(writer: WireWriter, field: Field, value: unknown): void {
  if (field.kind === 'scalar') writeScalar(writer, field.scalar!, value);
  else if (field.kind === 'enum') writer.int32(enumNumber(field, value));
  else {
    const start = writer.fork();
    writeContent(writer, field.message, value);
    writer.join(start);
  }
}

function writeContent(writer: WireWriter, type: MessageType, value: unknown): void {
  if (type.wellKnown === 'any') writeAny(writer, value as Message);
  else writeFields(writer, type, toFields(type, value));
}

function writeAny(writer: WireWriter, any: Message): void {
  const url = (any['@type'] as string | undefined) ?? '';
  const bytes = anyContent(url, any);
  if (url !== '') {
    writer.tag(1, WireType.Bytes);
    writer.text(url);
  }
  if (bytes.length === 0) return;
  writer.tag(2, WireType.Bytes);
  writer.bytes(bytes);
}

function anyContent(url: string, any: Message): Uint8Array {
  const type = messageOfTypeUrl(url);
  if (!type) {
    if (any.value instanceof Uint8Array) return any.value;
    if (url === '' && Object.keys(any).every((key) => key === '@type')) return new Uint8Array(0);
    throw new TypeError(url === '' ? 'a packed message needs its "@type"' : `unknown type "${url}"`);
  }
  const writer = new WireWriter();
  writeContent(writer, type, type.wellKnown ? any.value : any);
  return writer.finish();
}

function writeScalar(writer: WireWriter, scalar: Scalar, value: unknown): void {
  switch (scalar) {
    case 'string':
      writer.text(value as string);
      break;
    case 'bytes':
      writer.bytes(bytesOf(value));
      break;
    case 'bool':
      writer.bool(value as boolean);
      break;
    case 'int64':
    case 'uint64':
    case 'sint64':
    case 'fixed64':
    case 'sfixed64':
      writer[scalar](BigInt(value as bigint | number | string));
      break;
    default:
      writer[scalar](Number(value));
  }
}

function bytesOf(value: unknown): Uint8Array {
  const bytes = typeof value === 'string' ? parseBase64(value) : value;
  if (bytes instanceof Uint8Array) return bytes;
  throw new TypeError(`${JSON.stringify(value)} is neither bytes nor base64`);
}
