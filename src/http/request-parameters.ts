// Query parameters and cookies of a request, found in place.
import type { HeaderMap } from './header-map.ts';

/** The first value under `name`, as it stands (not decoded); empty for a name without `=`. */
export function queryParameter(path: string, name: string): string | undefined {
  const question = path.indexOf('?');
  if (question < 0) return undefined;
  for (let at = question + 1; at <= path.length; ) {
    let end = path.indexOf('&', at);
    if (end < 0) end = path.length;
    if (path.startsWith(name, at)) {
      const after = at + name.length;
      if (after === end) return '';
      if (after < end && path.charCodeAt(after) === 61) return path.slice(after + 1, end);
    }
    at = end + 1;
  }
  return undefined;
}

/** The first cookie of that name, without surrounding quotes. */
export function cookieValue(headers: HeaderMap, name: string): string | undefined {
  const list = headers.list;
  for (let i = 0; i < list.length; i += 2) {
    if (list[i] !== 'cookie') continue;
    const found = cookieIn(list[i + 1]!, name);
    if (found !== undefined) return found;
  }
  return undefined;
}

function cookieIn(cookies: string, name: string): string | undefined {
  for (let at = 0; at < cookies.length; ) {
    while (cookies.charCodeAt(at) === 32) at++;
    let end = cookies.indexOf(';', at);
    if (end < 0) end = cookies.length;
    const after = at + name.length;
    if (cookies.startsWith(name, at) && cookies.charCodeAt(after) === 61 && after < end) {
      let from = after + 1;
      let to = end;
      while (to > from && cookies.charCodeAt(to - 1) === 32) to--;
      if (to - from >= 2 && cookies.charCodeAt(from) === 34 && cookies.charCodeAt(to - 1) === 34) {
        from++;
        to--;
      }
      return cookies.slice(from, to);
    }
    at = end + 1;
  }
  return undefined;
}
