// Clusters of type envoy.clusters.dynamic_forward_proxy in a worker: a request goes to the host it names, whose address is in a DNS cache.
import type { PickContext, WaitingLoadBalancer } from '#extension/load-balancer.ts';
import type { FilterStateObject, StreamInfo } from '#extension/stream-info.ts';
import { cacheName } from '../dynamic-forward-proxy/authority.ts';
import type { DnsHost } from '../dynamic-forward-proxy/dns-cache.ts';
import {
  type DnsCacheUser,
  DnsLoad,
  type DnsWaiter,
  type WorkerDnsCache,
} from '../dynamic-forward-proxy/worker-dns-cache.ts';
import type { Cluster } from './cluster.ts';
import type { HostConfig } from './cluster-config.ts';
import { UpstreamHost } from './host.ts';

export const dynamicHostKey = 'envoy.upstream.dynamic_host';
export const dynamicPortKey = 'envoy.upstream.dynamic_port';

export class DynamicForwardProxy implements WaitingLoadBalancer, DnsCacheUser {
  /** By name, with port. */
  readonly hosts = new Map<string, UpstreamHost>();
  readonly #cache: WorkerDnsCache;
  readonly #defaultPort: number;
  #cluster: Cluster | undefined = undefined;

  constructor(cache: WorkerDnsCache, isSecure: boolean) {
    this.#cache = cache;
    this.#defaultPort = isSecure ? 443 : 80;
  }

  get defaultPort(): number {
    return this.#defaultPort;
  }

  set cluster(cluster: Cluster) {
    this.#cluster = cluster;
    cluster.hosts = this.hosts;
    this.#cache.addUser(this);
  }

  /** There are no hosts but those of the cache. */
  update(): void {}

  pick(context: PickContext): UpstreamHost | undefined {
    const name = this.#wanted(context);
    const host = this.hosts.get(name);
    if (host !== undefined) this.#cache.touch(name);
    return host;
  }

  awaitHost(context: PickContext, onEnd: (details: string) => void): (() => void) | string {
    const name = this.#wanted(context);
    if (name === '') return 'empty_host_header';
    const cache = this.#cache;
    if (!cache.admits()) return 'dns_cache_pending_requests_overflow';
    const waiter: DnsWaiter = {
      onDnsHost({ details }) {
        cache.hold(-1);
        onEnd(details);
      },
    };
    const found = cache.find(name, waiter);
    if (found === DnsLoad.Loading) {
      cache.hold(1);
      return () => {
        cache.leave(name, waiter);
        cache.hold(-1);
      };
    }
    return found === DnsLoad.HostOverflow ? 'dns_cache_overflow' : found.details;
  }

  onDnsHostChanged(name: string, dnsHost: DnsHost | undefined): void {
    const host = this.hosts.get(name);
    if (dnsHost === undefined) {
      if (host === undefined) return;
      this.hosts.delete(name);
      this.#cluster!.removeHost(host);
    } else if (dnsHost.ip === '') return;
    else if (host === undefined) this.hosts.set(name, new UpstreamHost(hostConfigOf(dnsHost), undefined, 0));
    else host.move(dnsHost.ip);
  }

  /** Filter state first, then the Host header, then the server name of the handshake. */
  #wanted({ streamInfo, requestHeaders }: PickContext): string {
    const host =
      stateOf(streamInfo, dynamicHostKey)?.text ??
      requestHeaders?.authority ??
      streamInfo?.connection.requestedServerName ??
      '';
    const port = Number(stateOf(streamInfo, dynamicPortKey)?.text ?? 0);
    return cacheName(host, port > 0 ? port : this.#defaultPort);
  }
}

/** Of the request or else of its connection. */
export function stateOf(info: StreamInfo | undefined, key: string): FilterStateObject | undefined {
  return info?.filterState?.get(key) ?? info?.connection.filterState?.get(key);
}

export function hostConfigOf({ name, ip, port }: DnsHost): HostConfig {
  return {
    address: ip,
    port,
    hostname: name,
    weight: 1,
    flags: 0,
    healthStatus: 'UNKNOWN',
    metadata: undefined,
  };
}
