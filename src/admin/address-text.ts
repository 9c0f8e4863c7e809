// Addresses as the text pages print them.
import type { Address } from '#schema/messages/envoy/config/core/v3.ts';

/** `127.0.0.1:80`, `[::1]:80`, or the path of a pipe. */
export function addressText({ socket_address, pipe, envoy_internal_address }: Address): string {
  if (pipe !== undefined) return pipe.path;
  if (envoy_internal_address !== undefined) {
    return `envoy://${envoy_internal_address.server_listener_name ?? ''}/${envoy_internal_address.endpoint_id}`;
  }
  if (socket_address === undefined) return '';
  const { address, port_value = 0 } = socket_address;
  return address.includes(':') ? `[${address}]:${port_value}` : `${address}:${port_value}`;
}
