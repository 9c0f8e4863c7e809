// How addresses are written everywhere: in logs, stats and headers.

/** `127.0.0.1:80`, `[::1]:80` or, when `port` is negative, a path. */
export function addressText(address: string, port: number): string {
  if (port < 0) return address;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
