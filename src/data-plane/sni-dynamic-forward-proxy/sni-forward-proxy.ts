// sni_dynamic_forward_proxy: a connection waits until the address of the host that its client named is known to the DNS cache.
import { filterStateText } from '#extension/filter-state-text.ts';
import {
  type DownstreamConnection,
  type NetworkFilter,
  NetworkFilterStatus,
} from '#extension/network-filter.ts';
import { CloseType } from '#net/connection.ts';
import { cacheName } from '../dynamic-forward-proxy/authority.ts';
import type { DnsHost } from '../dynamic-forward-proxy/dns-cache.ts';
import { saveAddress } from '../dynamic-forward-proxy/saved-address.ts';
import { DnsLoad, type DnsWaiter, type WorkerDnsCache } from '../dynamic-forward-proxy/worker-dns-cache.ts';
import { dynamicHostKey, dynamicPortKey } from '../upstream/dynamic-forward-proxy.ts';
import type { SniForwardProxyConfig } from './sni-forward-proxy-config.ts';

export class SniForwardProxy implements NetworkFilter, DnsWaiter {
  readonly #config: SniForwardProxyConfig;
  readonly #cache: WorkerDnsCache;
  readonly #downstream: DownstreamConnection;
  /** The host it waits for. */
  #awaited = '';

  constructor(config: SniForwardProxyConfig, cache: WorkerDnsCache, downstream: DownstreamConnection) {
    this.#config = config;
    this.#cache = cache;
    this.#downstream = downstream;
  }

  onNewConnection(): NetworkFilterStatus {
    const { filterState, info } = this.#downstream;
    const host = filterState.get(dynamicHostKey)?.text ?? info.requestedServerName;
    if (host === '') return NetworkFilterStatus.Continue;
    if (!this.#cache.admits()) return this.#refuse();
    let port = Number(filterState.get(dynamicPortKey)?.text ?? 0);
    if (port === 0) {
      port = this.#config.port;
      filterState.set(dynamicPortKey, filterStateText(String(port), port));
    }
    const name = cacheName(host, port);
    const found = this.#cache.find(name, this);
    if (found === DnsLoad.HostOverflow) return this.#refuse();
    if (found !== DnsLoad.Loading) {
      this.#save(found);
      return NetworkFilterStatus.Continue;
    }
    this.#awaited = name;
    this.#cache.hold(1);
    this.#downstream.connection.readDisable(true);
    return NetworkFilterStatus.StopIteration;
  }

  /** Without an address tcp_proxy finds no host. */
  onDnsHost(host: DnsHost): void {
    this.#letGo();
    this.#save(host);
    this.#downstream.connection.readDisable(false);
    this.#downstream.continueReading(this);
  }

  onClose(): void {
    if (this.#awaited === '') return;
    this.#cache.leave(this.#awaited, this);
    this.#letGo();
  }

  #save(host: DnsHost): void {
    if (this.#config.savesAddress) saveAddress(this.#downstream.filterState, host);
  }

  #letGo(): void {
    this.#awaited = '';
    this.#cache.hold(-1);
  }

  #refuse(): NetworkFilterStatus {
    this.#downstream.close(CloseType.NoFlush, '');
    return NetworkFilterStatus.StopIteration;
  }
}
