// Request targets that are not a path, and which bytes an authority may hold.

/** Bytes an authority may hold: RFC 3986 reg-name, brackets, userinfo. */
const isAuthorityByte = new Uint8Array(256);
for (const c of "!$%&'()*+,-.:;=@[]_~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
  isAuthorityByte[c.charCodeAt(0)] = 1;
}

export function isAuthorityValid(authority: string): boolean {
  for (let i = 0; i < authority.length; i++) if (isAuthorityByte[authority.charCodeAt(i)] !== 1) return false;
  return true;
}

export interface AbsoluteUrl {
  /** Lower-case. */
  readonly scheme: string;
  /** Host and port as they are written, without userinfo. */
  readonly authority: string;
  /** From the first `/` or `?` on; `/` when there is none. */
  readonly path: string;
}

/** `scheme://[userinfo@]host[:port][path]`, with any scheme; undefined when it is not that. */
export function parseAbsoluteUrl(url: string): AbsoluteUrl | undefined {
  const schemeEnd = url.indexOf('://');
  if (schemeEnd <= 0) return undefined;
  const start = schemeEnd + 3;
  let pathStart = start;
  while (pathStart < url.length && url[pathStart] !== '/' && url[pathStart] !== '?') pathStart++;
  const authority = url.substring(
    url.lastIndexOf('@', pathStart - 1) >= start ? url.lastIndexOf('@', pathStart - 1) + 1 : start,
    pathStart,
  );
  if (!isHostAndPort(authority, false)) return undefined;
  return {
    scheme: url.substring(0, schemeEnd).toLowerCase(),
    authority,
    path: pathStart === url.length ? '/' : url.substring(pathStart),
  };
}

/** The target of CONNECT: host and port, nothing else (RFC 9110 9.3.6). */
export function isConnectTarget(target: string): boolean {
  return isHostAndPort(target, true);
}

/** Digits up to 65535 from `start` to the end, or -1. */
function parsePort(text: string, start: number): number {
  let port = 0;
  for (let i = start; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 48;
    if (digit < 0 || digit > 9) return -1;
    port = port * 10 + digit;
    if (port > 65535) return -1;
  }
  return start < text.length ? port : -1;
}

function isHostAndPort(authority: string, needsPort: boolean): boolean {
  let end: number;
  if (authority[0] === '[') {
    end = authority.indexOf(']') + 1;
    if (end < 3) return false;
    for (let i = 1; i < end - 1; i++) if (!isIpv6Character(authority.charCodeAt(i))) return false;
  } else {
    end = authority.indexOf(':');
    if (end < 0) end = authority.length;
    if (end === 0) return false;
    for (let i = 0; i < end; i++) if (!isHostCharacter(authority.charCodeAt(i))) return false;
  }
  if (end === authority.length) return !needsPort;
  return authority[end] === ':' && parsePort(authority, end + 1) >= 0;
}

function isHostCharacter(c: number): boolean {
  return isAlphanumeric(c) || c === 45 || c === 46;
}

function isIpv6Character(c: number): boolean {
  return (c >= 48 && c <= 58) || c === 46 || ((c | 32) >= 97 && (c | 32) <= 102);
}

function isAlphanumeric(c: number): boolean {
  return (c >= 48 && c <= 57) || ((c | 32) >= 97 && (c | 32) <= 122);
}
