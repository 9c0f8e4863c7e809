// The messages of google.protobuf with a form of their own in memory: `UInt32Value` is its number, `Struct` plain JSON, and so on. Binary
// and text see them as messages with fields; this is the step between.
import { type Field, type Message, type MessageType, type Scalar, scalarDefault } from './descriptor.ts';
import { type Duration, parseDuration, parseTimestamp, put } from './values.ts';

/** The form in memory of a message read field by field. `before` is an earlier occurrence of the same field, into which it is merged. */
export function fromFields(type: MessageType, read: Message, before?: unknown): unknown {
  switch (type.wellKnown) {
    case 'wrapper':
      return Object.hasOwn(read, 'value') ? read.value : (before ?? read.value);
    case 'duration':
    case 'timestamp': {
      const old = before as Duration | undefined;
      return {
        seconds: Object.hasOwn(read, 'seconds') ? Number(read.seconds) : (old?.seconds ?? 0),
        nanos: Object.hasOwn(read, 'nanos') ? read.nanos : (old?.nanos ?? 0),
      };
    }
    case 'struct': {
      const result = (before as Message | undefined) ?? {};
      for (const [key, value] of Object.entries(read.fields as Message)) put(result, key, value);
      return result;
    }
    case 'list_value':
      return [...((before as unknown[] | undefined) ?? []), ...(read.values as unknown[])];
    case 'value': {
      const { number_value, string_value, bool_value, struct_value, list_value } = read;
      return number_value ?? string_value ?? bool_value ?? struct_value ?? list_value ?? null;
    }
    default:
      return read;
  }
}

/** The fields of a value in memory, or of its JSON form (`'0.25s'`). */
export function toFields(type: MessageType, value: unknown): Message {
  switch (type.wellKnown) {
    case 'wrapper':
      return { value };
    case 'duration':
    case 'timestamp': {
      if (typeof value !== 'string') return value as Message;
      const parsed = type.wellKnown === 'duration' ? parseDuration(value) : parseTimestamp(value);
      if (!parsed) throw new TypeError(`"${value}" is not a ${type.wellKnown}`);
      return { ...parsed };
    }
    case 'struct':
      return { fields: value };
    case 'list_value':
      return { values: value };
    case 'value':
      if (value === null) return { null_value: 0 };
      if (typeof value === 'number') return { number_value: value };
      if (typeof value === 'string') return { string_value: value };
      if (typeof value === 'boolean') return { bool_value: value };
      return Array.isArray(value) ? { list_value: value } : { struct_value: value };
    default:
      return value as Message;
  }
}

/** `udpa.type.v1.TypedStruct` and `xds.type.v3.TypedStruct`: a message written as a Struct. */
export function isTypedStruct(type: MessageType): boolean {
  return type.name === 'udpa.type.v1.TypedStruct' || type.name === 'xds.type.v3.TypedStruct';
}

export function enumNumber(field: Field, value: unknown): number {
  const number = field.enum.numberOf(value as string | number);
  if (number === undefined) throw new TypeError(`"${value}" is not a value of ${field.enum.name}`);
  return number;
}

/** What a map entry without a value holds. */
export function emptyValue(field: Field): unknown {
  if (field.kind === 'scalar') return scalarDefault(field.scalar!);
  if (field.kind === 'enum') return field.enum.nameOf(0);
  return fromFields(field.message, field.message.create());
}

/** Whether a field that has no presence holds what it holds anyway. */
export function isDefault(field: Field, value: unknown): boolean {
  if (field.kind === 'enum') return enumNumber(field, value) === 0;
  if (value instanceof Uint8Array) return value.length === 0;
  if (value === '' || value === false || value === 0n) return true;
  const isReal = field.scalar === 'double' || field.scalar === 'float';
  return value === 0 && !(isReal && Object.is(value, -0));
}

export function sortedKeys(map: object, key: Scalar): string[] {
  const keys = Object.keys(map);
  if (key === 'string' || key === 'bool') return keys.sort();
  return keys.sort((a, b) => (BigInt(a) < BigInt(b) ? -1 : 1));
}
