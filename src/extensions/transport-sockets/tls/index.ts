import { defineDownstreamTransport, defineUpstreamTransport } from '#extension/transport-socket.ts';
import { parseDownstreamTls, parseUpstreamTls } from './config.ts';
import { DownstreamTls } from './downstream.ts';
import { SocketFactoryStats, SslStats } from './stats.ts';
import { UpstreamTls } from './upstream.ts';

const name = 'envoy.transport_sockets.tls';

export const downstreamTls = defineDownstreamTransport({
  kind: 'downstream_transport_socket',
  name,
  type: 'envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
  parse: parseDownstreamTls,
  prepare: (config, context) => new DownstreamTls(config, context),
});

export const upstreamTls = defineUpstreamTransport({
  kind: 'upstream_transport_socket',
  name,
  type: 'envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
  parse: parseUpstreamTls,
  declare(scope) {
    scope.scope('ssl').declare(SslStats);
    scope.scope('client_ssl_socket_factory').declare(SocketFactoryStats);
  },
  prepare: (config, context) => new UpstreamTls(config, context),
});
