// How x-request-id is made and kept (`request_id_extension` of the connection manager). Envoy has one way; what it leaves open is here.
import type { ParseContext } from '#config/parse-context.ts';
import type { Extension, Registry } from './registry.ts';

export interface RequestIdConfig {
  /** The id says why its request is traced. At the edge an id that is kept loses it. */
  readonly packTraceReason: boolean;
}

export interface RequestIdExtension<Message = never> extends Extension<'request_id'> {
  parse(message: Message, at: ParseContext, registry: Registry): RequestIdConfig;
}
