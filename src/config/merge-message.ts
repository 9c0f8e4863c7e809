// Protobuf's MergeFrom: `--config-yaml` over `-c`. Lists are joined, maps and messages merged, what is set replaces what was there.

import type { Field, Message, MessageType } from '#schema/descriptor.ts';
import { put } from '#schema/values.ts';

/** Changes `into`. */
export function mergeMessage(type: MessageType, into: Message, from: Message): void {
  for (const name of Object.keys(from)) {
    const field = type.field(name);
    if (field !== undefined) mergeField(field, into, from[name]);
  }
}

function mergeField(field: Field, into: Message, value: unknown): void {
  const { name } = field;
  if (field.kind === 'map') {
    const map: Record<string, unknown> = Object.hasOwn(into, name)
      ? (into[name] as Record<string, unknown>)
      : {};
    for (const [key, item] of Object.entries(value as object)) put(map, key, item);
    into[name] = map;
    return;
  }
  if (field.isRepeated) {
    into[name] = Object.hasOwn(into, name) ? [...(into[name] as unknown[]), ...(value as unknown[])] : value;
    return;
  }
  // Without presence, a default value cannot be told from nothing.
  if (!field.hasPresence && value === field.defaultValue) return;
  if (field.oneof !== undefined) {
    for (const other of field.oneof.fields) if (other !== field) delete into[other.name];
  }
  const before = Object.hasOwn(into, name) ? into[name] : undefined;
  if (before === undefined || field.kind !== 'message') into[name] = value;
  else if (field.message.wellKnown === undefined)
    mergeMessage(field.message, before as Message, value as Message);
  else if (field.message.wellKnown === 'struct') into[name] = { ...(before as object), ...(value as object) };
  else into[name] = value;
}
