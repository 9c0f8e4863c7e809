// Plain configuration of sni_dynamic_forward_proxy.
import type { ParseContext } from '#config/parse-context.ts';
import { onlyFields } from '#extension/message-fields.ts';
import type { FilterConfig } from '#schema/messages/envoy/extensions/filters/network/sni_dynamic_forward_proxy/v3.ts';
import { parseDnsCache } from '../dynamic-forward-proxy/dns-cache-config.ts';

export interface SniForwardProxyConfig {
  readonly dnsCache: string;
  readonly port: number;
  /** The address goes to filter state, for permissions of rbac. */
  readonly savesAddress: boolean;
}

export function parseSniForwardProxy(message: FilterConfig, at: ParseContext): SniForwardProxyConfig {
  onlyFields(message, at, ['dns_cache_config', 'port_value', 'save_upstream_address']);
  return {
    dnsCache: parseDnsCache(message.dns_cache_config, at.field('dns_cache_config')).name,
    port: message.port_value ?? 443,
    savesAddress: message.save_upstream_address,
  };
}
