// Cuts a message down to the paths of a field mask, also inside packed messages.
import type { Message, MessageType } from '#schema/descriptor.ts';
import { messageOfTypeUrl } from '#schema/registry.ts';

/** Paths as a tree: an empty node takes everything below it. */
export type MaskNode = Map<string, MaskNode>;

export function parseFieldMask(text: string): MaskNode {
  const root: MaskNode = new Map();
  for (const path of text.split(',')) {
    let node = root;
    for (const name of path.split('.')) {
      let next = node.get(name);
      if (next === undefined) {
        next = new Map();
        node.set(name, next);
      }
      node = next;
    }
  }
  return root;
}

/**
 * Undefined when the mask names a field that the message does not have, or looks into a list or a map. Into a packed message it has to
 * look where that is a field of the message itself, and cannot elsewhere: so has Envoy.
 */
export function applyFieldMask(
  type: MessageType<object>,
  message: Message,
  mask: MaskNode,
  isInside = false,
): Message | undefined {
  const result: Message = {};
  for (const [name, below] of mask) {
    const field = type.field(name);
    if (field === undefined) return undefined;
    if (below.size > 0 && (field.kind !== 'message' || field.isRepeated)) return undefined;
    const value = Object.hasOwn(message, name) ? message[name] : undefined;
    if (field.kind === 'message' && field.message.wellKnown === 'any') {
      if (isInside ? below.size > 0 : below.size === 0 && value !== undefined) return undefined;
    }
    if (value === undefined) {
      if (below.size > 0 && field.message.wellKnown !== 'any') {
        if (applyFieldMask(field.message, {}, below, true) === undefined) return undefined;
      }
      continue;
    }
    const kept = below.size === 0 ? value : cutBelow(field.message, value as Message, below);
    if (kept === undefined) return undefined;
    result[name] = kept;
  }
  return result;
}

function cutBelow(type: MessageType, value: Message, mask: MaskNode): Message | undefined {
  if (type.wellKnown !== 'any') return applyFieldMask(type, value, mask, true);
  const url = value['@type'];
  const packed = typeof url === 'string' ? messageOfTypeUrl(url) : undefined;
  if (packed === undefined) return undefined;
  const kept = applyFieldMask(packed, value, mask, true);
  return kept === undefined ? undefined : { '@type': url, ...kept };
}
