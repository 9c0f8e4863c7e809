// Hosts as a DNS cache names them: as they were asked for, always with a port.
import { canonicalIp } from '#base/cidr.ts';

export interface Authority {
  /** Without brackets. */
  readonly host: string;
  readonly port: number;
}

/** What is behind the last colon is a port if it is a number that can be one. */
export function parseAuthority(text: string, defaultPort: number): Authority {
  const port = portIn(text);
  const name = port < 0 ? text : text.slice(0, text.lastIndexOf(':'));
  const inner = name.startsWith('[') && name.endsWith(']') ? name.slice(1, -1) : '';
  const host = canonicalIp(inner)?.includes(':') ? inner : name;
  return { host, port: port < 0 ? defaultPort : port };
}

/** The name of a host in the cache; empty for none. */
export function cacheName(text: string, defaultPort: number): string {
  return text === '' || portIn(text) >= 0 ? text : `${text}:${defaultPort}`;
}

/** -1: none. */
function portIn(text: string): number {
  const colon = text.lastIndexOf(':');
  if (colon < 0 || text.endsWith(']')) return -1;
  const digits = text.slice(colon + 1);
  const port = /^\d{1,5}$/.test(digits) ? Number(digits) : -1;
  return port <= 65_535 ? port : -1;
}
