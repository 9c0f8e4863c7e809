// What the client's connection has to say about the connection to the host: server name and the like from filter state, addresses
// for a PROXY header.
import { filterStateKeys } from '#extension/filter-state-keys.ts';
import type { ConnectionInfo, FilterStateObject } from '#extension/stream-info.ts';
import type { TransportOptions, UpstreamTransport } from '#extension/transport-socket.ts';
import type { ProxyTlv } from '#net/proxy-protocol.ts';

/** Undefined where the transport would not ask. `tlvs`: instead of those of the client. */
export function transportOptionsOf(
  transport: UpstreamTransport,
  info: ConnectionInfo,
  filterState: ReadonlyMap<string, FilterStateObject> | undefined,
  tlvs: readonly ProxyTlv[] | undefined,
): TransportOptions | undefined {
  const greets = transport.greeting !== undefined;
  const shared = filterState === undefined ? undefined : sharedOf(filterState);
  if (
    !greets &&
    shared === undefined &&
    (!transport.isTls || filterState === undefined || filterState.size === 0)
  )
    return undefined;
  const text = (key: string) => filterState?.get(key)?.text ?? '';
  return {
    serverName: text(filterStateKeys.serverName),
    applicationProtocols: list(text(filterStateKeys.applicationProtocols)),
    subjectAltNames: list(text(filterStateKeys.subjectAltNames)),
    proxied: greets
      ? { remote: info.remoteAddress, local: info.localAddress, tlvs: tlvs ?? info.proxyTlvs ?? none }
      : undefined,
    shared,
    sharedKey: shared === undefined ? '' : keyOf(shared),
  };
}

function sharedOf(
  filterState: ReadonlyMap<string, FilterStateObject>,
): ReadonlyMap<string, FilterStateObject> | undefined {
  let shared: Map<string, FilterStateObject> | undefined;
  for (const [key, object] of filterState)
    if (object.isShared === true) (shared ??= new Map()).set(key, object);
  return shared;
}

function keyOf(shared: ReadonlyMap<string, FilterStateObject>): string {
  let all = '';
  for (const [key, object] of shared) if (object.isHashable === true) all += `${key}=${object.text}\n`;
  return all;
}

function list(text: string): readonly string[] {
  return text === '' ? none : text.split(',').map((it) => it.trim());
}

const none: readonly never[] = [];
