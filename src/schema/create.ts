// Messages from what a user or a test writes: `create('envoy.config.cluster.v3.Cluster', { name: 'web', connect_timeout: '1s' })`.
import type { Field, Message, MessageType } from './descriptor.ts';
import type { InitTypes, MessageTypes } from './messages/type-map.ts';
import { message, messageOfTypeUrl } from './registry.ts';
import { parseBase64, put } from './values.ts';
import { fromFields, toFields } from './well-known.ts';

/** A message in its form in memory, with defaults where nothing is given. Throws a TypeError for what the types would have refused. */
export function create<N extends keyof InitTypes & keyof MessageTypes>(
  name: N,
  init: InitTypes[N],
): MessageTypes[N] {
  const type = message(name as string)!;
  return fill(type, type.create(), init as object as Message) as object as MessageTypes[N];
}

function fill(type: MessageType, into: Message, init: Message): Message {
  for (const [name, value] of Object.entries(init)) {
    if (value === undefined || name === '@type') continue;
    const field = type.field(name);
    if (!field) throw new TypeError(`${type.name} has no field "${name}"`);
    if (field.isRepeated) into[name] = (value as readonly unknown[]).map((it) => convert(field, it));
    else if (field.kind === 'map') into[name] = convertMap(field.mapValue, value as Message);
    else into[name] = convert(field, value);
  }
  return into;
}

function convertMap(valueField: Field, init: Message): Message {
  const map: Message = {};
  for (const [key, value] of Object.entries(init)) put(map, key, convert(valueField, value));
  return map;
}

function convert(field: Field, value: unknown): unknown {
  if (field.kind === 'message') return convertMessage(field.message, value);
  if (field.scalar?.includes('64')) return BigInt(value as bigint | number);
  if (field.scalar === 'bytes' && typeof value === 'string')
    return parseBase64(value) ?? refuse(field, value);
  if (field.kind === 'enum' && field.enum.numberOf(value as string | number) === undefined)
    refuse(field, value);
  return value;
}

function convertMessage(type: MessageType, value: unknown): unknown {
  switch (type.wellKnown) {
    case 'any':
      return convertAny(value as Message);
    case 'wrapper':
      return convert(type.field('value')!, value);
    case 'duration':
    case 'timestamp':
      return fromFields(type, fill(type, type.create(), toFields(type, value)));
    case 'struct':
    case 'value':
    case 'list_value':
      return value;
    default:
      return fill(type, type.create(), value as Message);
  }
}

function convertAny(init: Message): Message {
  const url = init['@type'] as string;
  const type = messageOfTypeUrl(url);
  if (!type) return { ...init };
  if (type.wellKnown) return { '@type': url, value: convertMessage(type, init.value) };
  const into = type.create();
  into['@type'] = url;
  return fill(type, into, init);
}

function refuse(field: Field, value: unknown): never {
  throw new TypeError(`${field.parent.name}.${field.name}: ${JSON.stringify(value)} does not fit`);
}
