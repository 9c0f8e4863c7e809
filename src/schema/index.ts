// The public door `chancery/schema`: configuration in TypeScript, checked while it is typed, and the messages of the API in every form.
import type { InitTypes } from './messages/type-map.ts';
import { typeUrlPrefix } from './values.ts';

export { BinaryError, type DecodeOptions, decodeMessage, encodeMessage } from './binary.ts';
export { create } from './create.ts';
export type { EnumType, EnumValue, Field, MessageType, Oneof } from './descriptor.ts';
export { type JsonOptions, jsonText, toJson } from './json.ts';
export { type JsonSchema, jsonSchema } from './json-schema.ts';
export type { InitTypes, MessageTypes, PackedInit } from './messages/type-map.ts';
export { enumNames, enumType, message, messageNames, messageOfTypeUrl, typeUrl } from './registry.ts';
export { readText, type TextOptions, type TextProblem, writeText } from './text.ts';
export type {
  Duration,
  DurationInit,
  JsonObject,
  JsonValue,
  Packed,
  Timestamp,
  TimestampInit,
} from './values.ts';

/** What may be written for the message of that full name. */
export type Init<N extends keyof InitTypes> = InitTypes[N];

export type BootstrapInit = Init<'envoy.config.bootstrap.v3.Bootstrap'>;
export type ListenerInit = Init<'envoy.config.listener.v3.Listener'>;
export type ClusterInit = Init<'envoy.config.cluster.v3.Cluster'>;
export type RouteConfigurationInit = Init<'envoy.config.route.v3.RouteConfiguration'>;
export type VirtualHostInit = Init<'envoy.config.route.v3.VirtualHost'>;
export type ClusterLoadAssignmentInit = Init<'envoy.config.endpoint.v3.ClusterLoadAssignment'>;
export type SecretInit = Init<'envoy.extensions.transport_sockets.tls.v3.Secret'>;

// Each returns what it is given: they exist for the types, so that an editor completes and TypeScript checks.

/** A whole configuration: `export default bootstrap({ ... })` in the file of `chancery proxy -c envoy.ts`. */
export const bootstrap = (init: BootstrapInit): BootstrapInit => init;
export const listener = (init: ListenerInit): ListenerInit => init;
export const cluster = (init: ClusterInit): ClusterInit => init;
export const routeConfiguration = (init: RouteConfigurationInit): RouteConfigurationInit => init;
export const virtualHost = (init: VirtualHostInit): VirtualHostInit => init;
export const clusterLoadAssignment = (init: ClusterLoadAssignmentInit): ClusterLoadAssignmentInit => init;
export const secret = (init: SecretInit): SecretInit => init;

/** A message as it stands in `typed_config`: `packed('envoy.extensions.filters.http.router.v3.Router', {})`. */
export function packed<N extends keyof InitTypes>(
  name: N,
  init: InitTypes[N],
): { readonly '@type': `type.googleapis.com/${N}` } & InitTypes[N] {
  return { '@type': typeUrlPrefix + name, ...(init as object) } as never;
}
