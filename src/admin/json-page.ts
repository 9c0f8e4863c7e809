// Pages that are one message of envoy.admin.v3.

import { type JsonOptions, jsonText, toJson } from '#schema/json.ts';
import type { MessageTypes } from '#schema/messages/type-map.ts';
import { message } from '#schema/registry.ts';
import { type AdminResponse, contentTypes } from './endpoint.ts';

/** `value` has the message's fields; what is absent has its default. */
export function messagePage<N extends keyof MessageTypes>(
  name: N,
  value: Partial<MessageTypes[N]>,
  options: JsonOptions = {},
): AdminResponse {
  return jsonPage(toJson(message(name), value, options));
}

export function jsonPage(value: unknown): AdminResponse {
  return { contentType: contentTypes.json, body: `${jsonText(value)}\n` };
}
