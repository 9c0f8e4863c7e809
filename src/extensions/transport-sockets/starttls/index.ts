import type { ParseContext } from '#config/parse-context.ts';
import type { Configured, Registry } from '#extension/registry.ts';
import {
  type DownstreamTransportExtension,
  defineDownstreamTransport,
  defineUpstreamTransport,
  type UpstreamTransportExtension,
} from '#extension/transport-socket.ts';
import type {
  StartTlsConfig,
  UpstreamStartTlsConfig,
} from '#schema/messages/envoy/extensions/transport_sockets/starttls/v3.ts';

// Plaintext until a filter of the connection asks for TLS. No filter that is built in does: the certificates are loaded, watched and
// counted, and every byte goes in clear, as with the same filters in Envoy.
const name = 'envoy.transport_sockets.starttls';
const packageName = 'envoy.extensions.transport_sockets';

/** Undefined without one, which is allowed. */
interface StartTls {
  readonly tls: Configured | undefined;
}

function parseTls(
  kind: 'downstream_transport_socket' | 'upstream_transport_socket',
  message: object | undefined,
  at: ParseContext,
  registry: Registry,
): StartTls {
  const type = `${packageName}.tls.v3.${kind === 'downstream_transport_socket' ? 'Downstream' : 'Upstream'}TlsContext`;
  const extension = registry.byType(kind, type);
  if (message === undefined || extension === undefined) return { tls: undefined };
  const config = extension.parse(message as never, at.field('tls_socket_config'), registry);
  return { tls: { name: extension.name, extension: extension.name, config } };
}

export const downstreamStartTls = defineDownstreamTransport({
  kind: 'downstream_transport_socket',
  name,
  type: `${packageName}.starttls.v3.StartTlsConfig`,
  parse: (message: StartTlsConfig, at: ParseContext, registry: Registry) =>
    parseTls('downstream_transport_socket', message.tls_socket_config, at, registry),
  prepare({ tls }, context) {
    if (tls !== undefined)
      context.registry
        .byName<DownstreamTransportExtension>('downstream_transport_socket', tls.extension)!
        .prepare(tls.config as never, context);
    return { protocol: 'starttls', wrap: (socket) => socket, tlsInfo: () => undefined };
  },
});

export const upstreamStartTls = defineUpstreamTransport({
  kind: 'upstream_transport_socket',
  name,
  type: `${packageName}.starttls.v3.UpstreamStartTlsConfig`,
  parse: (message: UpstreamStartTlsConfig, at: ParseContext, registry: Registry) =>
    parseTls('upstream_transport_socket', message.tls_socket_config, at, registry),
  prepare({ tls }, context) {
    if (tls !== undefined)
      context.registry
        .byName<UpstreamTransportExtension>('upstream_transport_socket', tls.extension)!
        .prepare(tls.config as never, context);
    return { isTls: false, wrap: (socket) => socket, tlsInfo: () => undefined };
  },
});
