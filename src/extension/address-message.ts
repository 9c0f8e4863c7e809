// Addresses as messages have them, from the texts of logs.
import { ipOfAddress, ipVersion, portOfAddress } from '#base/cidr.ts';
import type { AddressInit } from '#schema/messages/envoy/config/core/v3.ts';

/** `127.0.0.1:80`, `[::1]:80` or a path. */
export function addressMessage(text: string): AddressInit {
  const ip = ipOfAddress(text);
  if (ipVersion(ip) === 0) return { pipe: { path: text } };
  return { socket_address: { address: ip, port_value: portOfAddress(text) } };
}

/** Undefined for an address that is not known. */
export function knownAddress(text: string): AddressInit | undefined {
  return text === '' ? undefined : addressMessage(text);
}
