// Upgrades (websocket and other protocols, CONNECT): whether one is asked for, and whether it is allowed here.
import { hasToken } from '#http/connection-header.ts';
import type { HeaderMap } from '#http/header-map.ts';
import type { RouteEntry } from './route-entry.ts';
import type { Stream } from './stream.ts';

/** The type asked for in lower case: `websocket`, `connect`, `connect-udp`; empty for an ordinary request. */
export function upgradeOf(headers: HeaderMap): string {
  if (headers.method === 'CONNECT')
    return headers.protocol === '' ? 'connect' : headers.protocol.toLowerCase();
  const list = headers.list;
  let type = '';
  let asks = false;
  for (let i = 0; i < list.length; i += 2) {
    const name = list[i]!;
    if (name === 'upgrade') type = list[i + 1]!.toLowerCase();
    else if (name === 'connection') asks = asks || hasToken(list[i + 1]!, 'upgrade');
  }
  return asks ? type : '';
}

/** The route decides when it says something, else the connection manager. */
export function isUpgradeAllowed(stream: Stream, route: RouteEntry | undefined): boolean {
  const type = stream.upgrade;
  const own = route?.upgrades?.get(type);
  if (own !== undefined) return own.enabled;
  const { upgrades } = stream.manager.shared.config;
  for (let i = 0; i < upgrades.length; i++) if (upgrades[i]!.type === type) return upgrades[i]!.enabled;
  return false;
}
