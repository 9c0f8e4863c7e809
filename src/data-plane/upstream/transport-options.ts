// What the client's connection has to say about the connection to the host: server name and the like from filter state, addresses
// for a PROXY header.
import { filterStateKeys } from '#extension/filter-state.ts';
import type { ConnectionInfo } from '#extension/stream-info.ts';
import type { TransportOptions, UpstreamTransport } from '#extension/transport-socket.ts';

/** Undefined where the transport would not ask. */
export function transportOptionsOf(
  transport: UpstreamTransport,
  info: ConnectionInfo,
): TransportOptions | undefined {
  if (!transport.isTls) return undefined;
  const { filterState } = info;
  const text = (key: string) => filterState?.get(key)?.text ?? '';
  return {
    serverName: text(filterStateKeys.serverName),
    applicationProtocols: list(text(filterStateKeys.applicationProtocols)),
    subjectAltNames: list(text(filterStateKeys.subjectAltNames)),
  };
}

function list(text: string): readonly string[] {
  return text === '' ? none : text.split(',').map((it) => it.trim());
}

const none: readonly string[] = [];
