// The server name and the name in the certificate that a request's own host asks of the upstream (`auto_sni`, `auto_san_validation`).
import { ipOfAddress, ipVersion } from '#base/cidr.ts';
import { filterStateKeys } from '#extension/filter-state-keys.ts';
import { filterStatePlain } from '#extension/filter-state-text.ts';
import type { HeaderMap } from '#http/header-map.ts';
import type { AutoSniConfig } from '../upstream/cluster-config.ts';
import type { RequestInfo } from './request-info.ts';

/** `headers`: as they go upstream. What a filter has said before stays. */
export function askForOwnHost(config: AutoSniConfig, headers: HeaderMap, info: RequestInfo): void {
  const overriding = config.header === '' ? undefined : headers.get(config.header);
  const host = ipOfAddress(overriding || headers.authority);
  if (host === '') return;
  info.filterState ??= new Map();
  const state = info.filterState;
  if (config.setsServerName && ipVersion(host) === 0 && !state.has(filterStateKeys.serverName))
    state.set(filterStateKeys.serverName, filterStatePlain(host));
  if (config.checksName && !state.has(filterStateKeys.subjectAltNames))
    state.set(filterStateKeys.subjectAltNames, filterStatePlain(host));
}
