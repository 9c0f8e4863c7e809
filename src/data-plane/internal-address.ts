// Which addresses belong to us: the default ranges of Envoy (RFC 1918, loopback, link-local and unique local IPv6), or configured ones.

/** `configured`: undefined takes the default ranges. */
export function isInternalIp(ip: string, configured: ((ip: string) => boolean) | undefined): boolean {
  if (configured !== undefined) return configured(ip);
  if (ip.includes(':')) {
    const lower = ip.toLowerCase();
    return lower === '::1' || lower.startsWith('fd') || lower.startsWith('fc');
  }
  if (ip.startsWith('10.') || ip.startsWith('192.168.') || ip === '127.0.0.1') return true;
  if (!ip.startsWith('172.')) return false;
  const second = Number(ip.slice(4, ip.indexOf('.', 4)));
  return second >= 16 && second <= 31;
}
