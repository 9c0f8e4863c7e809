// The addresses in an `x-forwarded-for` header: each proxy appends the one it was reached from.
import { canonicalIp } from '#base/cidr.ts';

/** The address that is `skip` from the end of the list; empty when there is none, or it is no IP address. */
export function addressFromEnd(xff: string, skip: number): string {
  let end = xff.length;
  for (let i = 0; i < skip; i++) {
    end = xff.lastIndexOf(',', end - 1);
    if (end < 0) return '';
  }
  const start = end === 0 ? -1 : xff.lastIndexOf(',', end - 1);
  const text = xff.slice(start + 1, end).trim();
  return ipIn(text);
}

/** The last address that `isTrusted` does not know, else the first of all; empty when something on the way is no IP address. */
export function lastUntrustedAddress(xff: string, isTrusted: (ip: string) => boolean): string {
  const addresses = xff.split(',');
  for (let i = addresses.length - 1; i >= 0; i--) {
    const address = ipIn(addresses[i]!.trim());
    if (address === '') return '';
    if (i === 0 || !isTrusted(address)) return address;
  }
  return '';
}

/** The address in its canonical form; empty when it is none. */
function ipIn(text: string): string {
  if (text.includes(':')) return canonicalIp(text) ?? '';
  return ipv4.test(text) ? text : '';
}

const ipv4 = /^(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)$/;
