import type { ParseContext } from '#config/parse-context.ts';
import { onlyFields } from '#extension/message-fields.ts';
import { defineDownstreamTransport, defineUpstreamTransport } from '#extension/transport-socket.ts';

// Plaintext: nothing stands between the socket and the bytes.
const name = 'envoy.transport_sockets.raw_buffer';
const type = 'envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer';

function parse(message: object, at: ParseContext): Record<string, never> {
  onlyFields(message, at, []);
  return {};
}

export const downstreamRawBuffer = defineDownstreamTransport({
  kind: 'downstream_transport_socket',
  name,
  type,
  parse,
  prepare: () => ({ protocol: 'raw_buffer', wrap: (socket) => socket, tlsInfo: () => undefined }),
});

export const upstreamRawBuffer = defineUpstreamTransport({
  kind: 'upstream_transport_socket',
  name,
  type,
  parse,
  prepare: () => ({ isTls: false, wrap: (socket) => socket, tlsInfo: () => undefined }),
});
