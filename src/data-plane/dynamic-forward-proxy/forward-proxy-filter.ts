// The HTTP filter dynamic_forward_proxy: a request for a cluster of that type waits here until the address of its host is known.
import { FilterStatus, type HttpFilter, type HttpStream } from '#extension/http-filter.ts';
import { ResponseFlag } from '#extension/response-flag.ts';
import type { HeaderMap } from '#http/header-map.ts';
import type { RouteEntry } from '../http/route-entry.ts';
import { clusterOf } from '../http/route-rewrite.ts';
import type { ClusterLookup } from '../upstream/cluster.ts';
import {
  DynamicForwardProxy,
  dynamicHostKey,
  dynamicPortKey,
  stateOf,
} from '../upstream/dynamic-forward-proxy.ts';
import { cacheName, parseAuthority } from './authority.ts';
import type { DnsHost } from './dns-cache.ts';
import type { ForwardProxyConfig, ForwardProxyRouteConfig } from './forward-proxy-config.ts';
import { saveAddress } from './saved-address.ts';
import { DnsLoad, type DnsWaiter, type WorkerDnsCache } from './worker-dns-cache.ts';

export interface ForwardProxyShared {
  readonly name: string;
  readonly config: ForwardProxyConfig;
  readonly cache: WorkerDnsCache;
  readonly clusters: ClusterLookup;
}

export class ForwardProxyFilter implements HttpFilter, DnsWaiter {
  readonly #shared: ForwardProxyShared;
  #stream: HttpStream | undefined = undefined;
  /** The host it waits for. */
  #awaited = '';

  constructor(shared: ForwardProxyShared) {
    this.#shared = shared;
  }

  decodeHeaders(stream: HttpStream, headers: HeaderMap): FilterStatus {
    const { cache, clusters } = this.#shared;
    const route = stream.route as RouteEntry | undefined;
    const balancer = route === undefined ? undefined : clusters.get(clusterOf(route, headers))?.lb;
    if (!(balancer instanceof DynamicForwardProxy)) return FilterStatus.Continue;
    this.#rewriteHost(stream, headers);
    if (!cache.admits())
      return refuse(
        stream,
        'Dynamic forward proxy pending request overflow',
        'dynamic_forward_proxy_pending_request_overflow',
      );
    const name = this.#wanted(stream, headers, balancer.defaultPort);
    if (name === '') {
      stream.sendLocalReply(400, 'Empty host header', 'empty_host_header');
      return FilterStatus.StopIteration;
    }
    const found = cache.find(name, this);
    if (found === DnsLoad.HostOverflow) return refuse(stream, 'DNS cache overflow', 'dns_cache_overflow');
    if (found === DnsLoad.Loading) {
      this.#awaited = name;
      this.#stream = stream;
      cache.hold(1);
      return FilterStatus.StopAllAndWatermark;
    }
    if (found.ip === '') return fail(stream, found);
    this.#save(stream, found);
    return FilterStatus.Continue;
  }

  onDnsHost(host: DnsHost): void {
    const stream = this.#stream!;
    this.#letGo();
    if (host.ip === '') {
      fail(stream, host);
      return;
    }
    this.#save(stream, host);
    stream.continueDecoding(this);
  }

  onDestroy(): void {
    if (this.#awaited === '') return;
    this.#shared.cache.leave(this.#awaited, this);
    this.#letGo();
  }

  #letGo(): void {
    this.#awaited = '';
    this.#shared.cache.hold(-1);
  }

  #save({ info }: HttpStream, host: DnsHost): void {
    if (!this.#shared.config.savesAddress) return;
    info.filterState ??= new Map();
    saveAddress(info.filterState, host);
  }

  #rewriteHost(stream: HttpStream, headers: HeaderMap): void {
    const own = stream.routeConfig(this.#shared.name) as ForwardProxyRouteConfig | undefined;
    if (own === undefined) return;
    if (own.hostRewrite !== '') headers.authority = own.hostRewrite;
    const asked = own.hostRewriteHeader === '' ? undefined : headers.get(own.hostRewriteHeader);
    if (asked !== undefined) headers.authority = asked;
  }

  #wanted({ info }: HttpStream, { authority }: HeaderMap, defaultPort: number): string {
    if (!this.#shared.config.readsFilterState) return cacheName(authority, defaultPort);
    const port = Number(stateOf(info, dynamicPortKey)?.text ?? 0);
    return cacheName(
      stateOf(info, dynamicHostKey)?.text ?? authority,
      port > 0 ? port : parseAuthority(authority, defaultPort).port,
    );
  }
}

function refuse(stream: HttpStream, body: string, details: string): FilterStatus {
  stream.sendLocalReply(503, body, details);
  return FilterStatus.StopIteration;
}

function fail(stream: HttpStream, { details }: DnsHost): FilterStatus {
  stream.info.flags |= 1 << ResponseFlag.DnsResolutionFailed;
  return refuse(stream, 'DNS resolution failure', details);
}
