// Plain configuration of the HTTP filter dynamic_forward_proxy and of sni_dynamic_forward_proxy.
import type { ParseContext } from '#config/parse-context.ts';
import { onlyFields } from '#extension/message-fields.ts';
import type {
  FilterConfig,
  PerRouteConfig,
} from '#schema/messages/envoy/extensions/filters/http/dynamic_forward_proxy/v3.ts';
import { parseDnsCache } from './dns-cache-config.ts';

export interface ForwardProxyConfig {
  readonly dnsCache: string;
  /** The address goes to filter state, for permissions of rbac. */
  readonly savesAddress: boolean;
  /** Filter state goes before the Host header. */
  readonly readsFilterState: boolean;
}

export interface ForwardProxyRouteConfig {
  /** Empty: it stays. */
  readonly hostRewrite: string;
  /** The name of a header; empty: none. */
  readonly hostRewriteHeader: string;
}

export function parseForwardProxy(message: FilterConfig, at: ParseContext): ForwardProxyConfig {
  onlyFields(message, at, [
    'dns_cache_config',
    'save_upstream_address',
    'allow_dynamic_host_from_filter_state',
  ]);
  return {
    dnsCache: parseDnsCache(message.dns_cache_config, at.field('dns_cache_config')).name,
    savesAddress: message.save_upstream_address,
    readsFilterState: message.allow_dynamic_host_from_filter_state,
  };
}

export function parseForwardProxyRoute(message: PerRouteConfig): ForwardProxyRouteConfig {
  return {
    hostRewrite: message.host_rewrite_literal ?? '',
    hostRewriteHeader: (message.host_rewrite_header ?? '').toLowerCase(),
  };
}
