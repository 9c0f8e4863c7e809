// Upgrades between the versions (RFC 8441): the proxy knows them in the form of HTTP/1.1, `upgrade` and `connection` headers and a
// 101; on the wire of HTTP/2 they are an extended CONNECT and a 200. As Envoy's codec, this one translates at its border.
import type { HeaderMap } from './header-map.ts';

/** A request that came with `:protocol`. */
export function upgradeRequestToH1(headers: HeaderMap): void {
  headers.method = 'GET';
  headers.list.push('upgrade', headers.protocol, 'connection', 'upgrade');
  headers.protocol = '';
}

/** What a request asks to be upgraded to; empty: nothing. */
export function upgradeType(headers: HeaderMap): string {
  const list = headers.list;
  for (let i = 0; i < list.length; i += 2) {
    if (list[i] === 'upgrade' && asksForUpgrade(headers)) return list[i + 1]!;
  }
  return '';
}

/** A copy for the wire; the caller keeps `headers` as they are. */
export function upgradeRequestToH2(headers: HeaderMap, type: string): HeaderMap {
  const copy = withoutUpgrade(headers);
  copy.method = 'CONNECT';
  copy.protocol = type;
  return copy;
}

/** The answer to an upgrade that came over HTTP/2, as a copy for the wire. */
export function upgradeResponseToH2(headers: HeaderMap): HeaderMap {
  if (!asksForUpgrade(headers)) return headers;
  const copy = withoutUpgrade(headers);
  if (copy.status === 101) copy.status = 200;
  return copy;
}

/** The answer to an upgrade that went out over HTTP/2. */
export function upgradeResponseToH1(headers: HeaderMap, type: string): void {
  if (headers.status !== 200) return;
  headers.status = 101;
  headers.list.push('upgrade', type, 'connection', 'upgrade');
}

/** CONNECT has an authority and nothing else (RFC 9113 8.5). */
export function connectRequest(headers: HeaderMap): HeaderMap {
  const copy = headers.clone();
  copy.scheme = '';
  copy.path = '';
  copy.protocol = '';
  return copy;
}

function asksForUpgrade(headers: HeaderMap): boolean {
  if (!headers.has('upgrade')) return false;
  const connection = headers.joined('connection');
  return connection?.split(',').some((token) => token.trim().toLowerCase() === 'upgrade') ?? false;
}

function withoutUpgrade(headers: HeaderMap): HeaderMap {
  const copy = headers.clone();
  copy.remove('upgrade');
  copy.remove('connection');
  if (copy.get('content-length') === '0') copy.remove('content-length');
  return copy;
}
