import { addressText } from '#base/address-text.ts';
import { filterStateHidden } from '#extension/filter-state-text.ts';
import { type FilterStateObject, upstreamAddressKey } from '#extension/stream-info.ts';
import type { DnsHost } from './dns-cache.ts';

/** For permissions of rbac. A host without an address leaves what was there. */
export function saveAddress(state: Map<string, FilterStateObject>, { ip, port }: DnsHost): void {
  if (ip !== '') state.set(upstreamAddressKey, filterStateHidden(addressText(ip, port)));
}
