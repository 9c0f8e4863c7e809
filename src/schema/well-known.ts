// The messages of google.protobuf with a form of their own in memory: `UInt32Value` is its number, `Struct` plain JSON, and so on. Binary
// and text see them as messages with fields; this is the step between.
import type { Message, MessageType } from './descriptor.ts';
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
