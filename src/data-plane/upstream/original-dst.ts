// Clusters of type ORIGINAL_DST: a connection goes where it was meant to go before it was redirected to us, or where a header, metadata or
// filter state says. Hosts are made as they are wanted, by each worker for itself; the main thread hears of them for the pages.
import { canonicalIp, ipOfAddress, portOfAddress } from '#base/cidr.ts';
import { logger } from '#base/logger.ts';
import { type TimerOwner, type TimerWheel, WheelTimer } from '#base/timer-wheel.ts';
import type { LoadBalancer, PickContext } from '#extension/load-balancer.ts';
import type { StreamInfo } from '#extension/stream-info.ts';
import type { Cluster } from './cluster.ts';
import type { ClusterConfig, HostConfig, OriginalDstConfig } from './cluster-config.ts';
import { UpstreamHost } from './host.ts';

const log = logger('upstream');
const filterStateKey = 'envoy.network.transport_socket.original_dst_address';

export class OriginalDst implements LoadBalancer, TimerOwner {
  readonly hosts = new Map<string, UpstreamHost>();
  readonly #name: string;
  readonly #config: OriginalDstConfig;
  readonly #timers: TimerWheel;
  readonly #timer = new WheelTimer(this);
  readonly #report: (hosts: readonly HostConfig[]) => void;
  /** Chosen since the last look. */
  readonly #used = new Set<UpstreamHost>();
  #cluster: Cluster | undefined = undefined;

  constructor(
    { name }: ClusterConfig,
    config: OriginalDstConfig,
    timers: TimerWheel,
    report: (hosts: readonly HostConfig[]) => void,
  ) {
    this.#name = name;
    this.#config = config;
    this.#timers = timers;
    this.#report = report;
  }

  set cluster(cluster: Cluster) {
    this.#cluster = cluster;
    cluster.hosts = this.hosts;
  }

  /** There are no hosts but ours. */
  update(): void {}

  pick(context: PickContext): UpstreamHost | undefined {
    const wanted = this.#wanted(context);
    if (wanted === undefined) {
      log.warn('original_dst_load_balancer: No downstream connection or no original_dst.');
      return undefined;
    }
    const { portOverride } = this.#config;
    const ip = ipOfAddress(wanted);
    const port = portOverride < 0 ? portOfAddress(wanted) : portOverride;
    const host = new UpstreamHost(hostConfig(this.#name, ip, port), undefined, 0);
    const known = this.hosts.get(host.address);
    this.#used.add(known ?? host);
    if (known !== undefined) return known;
    this.hosts.set(host.address, host);
    if (this.hosts.size === 1) this.#timers.start(this.#timer, this.#config.cleanupMs);
    this.#tell();
    return host;
  }

  /** Filter state first, then metadata, then the header, then what the connection was meant for. `ip:port`. */
  #wanted({ streamInfo, requestHeaders }: PickContext): string | undefined {
    const { httpHeader, metadataKey } = this.#config;
    const state =
      streamInfo?.filterState?.get(filterStateKey) ?? streamInfo?.connection.filterState?.get(filterStateKey);
    if (state !== undefined) return state.text;
    if (metadataKey !== undefined && streamInfo !== undefined) {
      const text = metadataText(streamInfo, metadataKey);
      const address = text === undefined ? undefined : this.#parse(text);
      if (address !== undefined) return address;
    }
    const text = httpHeader === '' ? undefined : requestHeaders?.get(httpHeader);
    const address = text === undefined ? undefined : this.#parse(text);
    if (address !== undefined) return address;
    const connection = streamInfo?.connection;
    return connection?.isLocalAddressRestored ? connection.localAddress : undefined;
  }

  #parse(text: string): string | undefined {
    const address = addressOf(text);
    if (address === undefined) this.#cluster!.stats.originalDstHostInvalid.value++;
    return address;
  }

  /** Hosts that were not chosen since the last time, and carry nothing, leave. */
  onTimeout(): void {
    const before = this.hosts.size;
    for (const [address, host] of this.hosts) {
      if (this.#used.has(host) || host.cxActive.value > 0) continue;
      this.hosts.delete(address);
      this.#cluster!.removeHost(host);
    }
    this.#used.clear();
    if (this.hosts.size < before) this.#tell();
    if (this.hosts.size > 0) this.#timers.start(this.#timer, this.#config.cleanupMs);
  }

  #tell(): void {
    this.#report([...this.hosts.values()].map(({ ip, port }) => hostConfig(this.#name, ip, port)));
  }
}

/** The host name is Envoy's: the name of the cluster and the address. */
function hostConfig(cluster: string, address: string, port: number): HostConfig {
  const text = address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
  return {
    address,
    port,
    hostname: `${cluster}${text}`,
    weight: 1,
    flags: 0,
    healthStatus: 'UNKNOWN',
    metadata: undefined,
  };
}

/** `ip:port` or `[ip6]:port` in canonical form. */
function addressOf(text: string): string | undefined {
  const [, bracketed, plain, digits] = /^(?:\[([^\]]*)\]|([^:]*)):(\d{1,5})$/.exec(text) ?? [];
  const ip = canonicalIp(bracketed ?? plain ?? '');
  const port = Number(digits);
  if (ip === undefined || port > 65_535 || ip.includes(':') !== (bracketed !== undefined)) return undefined;
  return bracketed === undefined ? `${ip}:${port}` : `[${ip}]:${port}`;
}

/** A text, or the first of a list of texts. */
function metadataText(info: StreamInfo, { key, path }: NonNullable<OriginalDstConfig['metadataKey']>) {
  let value: unknown = info.dynamicMetadata?.[key];
  for (const step of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = (value as Record<string, unknown>)[step];
  }
  if (Array.isArray(value)) value = value[0];
  return typeof value === 'string' ? value : undefined;
}
