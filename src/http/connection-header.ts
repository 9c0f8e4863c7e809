// What the `connection` header of HTTP/1 says: upgrade, close, and which other headers belong to this hop.
import type { HeaderMap } from './header-map.ts';

/** Is `token` one of the comma-separated tokens of `value`, whatever its case? `token` is lower-case. */
export function hasToken(value: string, token: string): boolean {
  if (value.length < token.length) return false;
  if (value === token) return true;
  const lower = value.toLowerCase();
  for (let from = 0; ; ) {
    const at = lower.indexOf(token, from);
    if (at < 0) return false;
    const end = at + token.length;
    if (isEdge(lower, at - 1, -1) && isEdge(lower, end, 1)) return true;
    from = end;
  }
}

/** From `i` in direction `step`: only white space up to a comma or the end. */
function isEdge(text: string, i: number, step: number): boolean {
  for (; i >= 0 && i < text.length; i += step) {
    const c = text.charCodeAt(i);
    if (c === 44) return true;
    if (c !== 32 && c !== 9) return false;
  }
  return true;
}

export function isUpgrade(connection: string | undefined, upgrade: string | undefined): boolean {
  return (
    upgrade !== undefined && upgrade !== '' && connection !== undefined && hasToken(connection, 'upgrade')
  );
}

/** Does this message ask to close the connection after it? RFC 9112 9.3; `proxy-connection` counts as it does in Envoy. */
export function closesConnection(isHttp11: boolean, headers: HeaderMap): boolean {
  const connection = headers.get('connection');
  if (!isHttp11) return connection === undefined || !hasToken(connection, 'keep-alive');
  if (connection !== undefined && hasToken(connection, 'close')) return true;
  const proxy = headers.get('proxy-connection');
  return proxy !== undefined && hasToken(proxy, 'close');
}

/** Takes an ignored upgrade out of `headers`, as if the client had not offered it. */
export function removeUpgrade(headers: HeaderMap, connection: string): void {
  headers.remove('upgrade');
  headers.remove('http2-settings');
  const kept = connection
    .split(',')
    .map((token) => token.trim())
    .filter((token) => token !== '' && !/^(upgrade|http2-settings)$/i.test(token))
    .join(',');
  if (kept === '') headers.remove('connection');
  else headers.set('connection', kept);
}

/** Envoy refuses a `connection` header that names as many as this, or one of these. */
const MAX_NOMINATED = 10;
const notNominable = new Set(['x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto']);

/**
 * RFC 9110 7.6.1: headers that `connection` names are of this hop only and are removed; `te` stays when it says `trailers`.
 * False when the header names what it must not.
 */
export function removeNominatedHeaders(headers: HeaderMap, connection: string): boolean {
  if (connection === 'keep-alive' || connection === 'close') return true;
  const tokens = connection.split(',');
  if (tokens.length >= MAX_NOMINATED) return false;
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i]!.trim().toLowerCase();
    if (token === '' || token === 'close' || token === 'keep-alive' || token === 'upgrade') continue;
    if (token.startsWith(':') || notNominable.has(token)) return false;
    if (token === 'host') {
      headers.authority = '';
      headers.isAuthorityEmpty = false;
    } else if (token === 'te') {
      const te = headers.joined('te');
      if (te !== undefined && hasToken(te, 'trailers')) headers.set('te', 'trailers');
      else headers.remove('te');
    } else headers.remove(token);
  }
  return true;
}
