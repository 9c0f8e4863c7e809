// How large a header map is, as Envoy counts: names and values, pseudo-headers among them.
import type { HeaderMap } from './header-map.ts';

export function headerBytes(headers: HeaderMap | undefined): number {
  if (headers === undefined) return 0;
  let bytes = 0;
  const list = headers.list;
  for (let i = 0; i < list.length; i++) bytes += list[i]!.length;
  if (headers.method !== '') bytes += 7 + headers.method.length;
  if (headers.scheme !== '') bytes += 7 + headers.scheme.length;
  if (headers.authority !== '' || headers.isAuthorityEmpty) bytes += 10 + headers.authority.length;
  if (headers.path !== '') bytes += 5 + headers.path.length;
  if (headers.protocol !== '') bytes += 9 + headers.protocol.length;
  if (headers.status !== 0) bytes += 10;
  return bytes;
}

export function headerCount(headers: HeaderMap): number {
  let count = headers.list.length / 2;
  if (headers.method !== '') count++;
  if (headers.scheme !== '') count++;
  if (headers.authority !== '' || headers.isAuthorityEmpty) count++;
  if (headers.path !== '') count++;
  if (headers.protocol !== '') count++;
  if (headers.status !== 0) count++;
  return count;
}
