// The contract of load-balancing policies. A policy is told about hosts when they change and asked for one per request.
import type { Uint64 } from '#base/uint64.ts';
import type { ParseContext } from '#config/parse-context.ts';
import type { HeaderMap } from '#http/header-map.ts';
import type { TlvData } from './proxy-protocol-config.ts';
import type { Extension, Registry } from './registry.ts';
import type { RetryPriority } from './retry-priority.ts';
import type { StreamInfo } from './stream-info.ts';
import type { WorkerServices } from './worker-services.ts';

export const HostHealth = { Unhealthy: 0, Degraded: 1, Healthy: 2 } as const;
export type HostHealth = (typeof HostHealth)[keyof typeof HostHealth];

/** One endpoint as a policy sees it. */
export interface Host {
  /** `ip:port` or a path. */
  readonly address: string;
  readonly hostname: string;
  readonly weight: number;
  readonly priority: number;
  readonly health: HostHealth;
  readonly locality: Locality | undefined;
  readonly metadata: Readonly<Record<string, Readonly<Record<string, unknown>>>> | undefined;
  /** Of its own for a PROXY header. */
  readonly proxyTlvs?: readonly TlvData[] | undefined;
  /** Requests under way on this thread. */
  readonly activeRequests: number;
  /** When this thread got to know it, as `turnMs` counts. */
  readonly addedMs: number;
}

export interface Locality {
  readonly region: string;
  readonly zone: string;
  readonly subZone: string;
}

/** The hosts of one priority. Immutable: a change brings a new one. */
export interface HostSet {
  readonly priority: number;
  readonly hosts: readonly Host[];
  readonly healthy: readonly Host[];
  readonly degraded: readonly Host[];
  /** How many of `hosts` are about to leave and do not count as missing. */
  readonly excluded: number;
  /** In the order of the configuration. */
  readonly localities: readonly LocalityHosts[];
  /** In percent. */
  readonly overprovisioningFactor: number;
}

export interface LocalityHosts {
  /** 0: none. */
  readonly weight: number;
  readonly excluded: number;
  readonly hosts: readonly Host[];
}

/** One number for each priority, for its healthy and for its degraded hosts. */
export interface PriorityShares {
  readonly healthy: readonly number[];
  readonly degraded: readonly number[];
}

/** Why a host is wanted. One object of the caller's, valid during the call. */
export interface PickContext {
  /** Not negative, 31 bits, new for every pick. */
  readonly random: number;
  /** How many hosts of this choice were refused before: for policies that would choose the same again. */
  readonly refusals?: number;
  /** Retries may go to other priorities. Policies that hash do not ask. */
  readonly retryPriority?: RetryPriority | undefined;
  /** Subset selection by the route. */
  readonly metadataMatch: Readonly<Record<string, unknown>> | undefined;
  /** Of whom the host is for; absent for requests of our own. */
  readonly streamInfo?: StreamInfo | undefined;
  readonly requestHeaders?: HeaderMap | undefined;
  /** Hot. Of the route's hash policies; false when none gave one. */
  computeHash?(into: Uint64): boolean;
  /** The response, if there will be one, gets this cookie instead of one that was given before. */
  keepCookie?(text: string): void;
}

/** What chooses a host of a cluster. */
export interface LoadBalancer {
  /** The hosts of some priorities were replaced: all of them, in order. */
  update(priorities: readonly HostSet[]): void;
  /** Hot. No allocation. `undefined` means that no host is usable. */
  pick(context: PickContext): Host | undefined;
}

/** One cluster's policy in one worker. Which hosts it may choose from is decided before: by priority, health and locality. */
export interface LoadBalancingPolicy {
  /** Localities get shares by their weights. */
  readonly weighsLocalities: boolean;
  /** Where too few hosts are healthy, none is chosen. */
  readonly failsInPanic?: boolean;
  /** Called when hosts have changed. Sorting and table building belong here, not into `choose`. */
  chooserOf(hosts: readonly Host[]): HostChooser;
}

export interface HostChooser {
  /** Hot. No allocation. `undefined` only when there are no hosts. */
  choose(context: PickContext): Host | undefined;
}

/** One cluster's policy of consistent hashing in one worker: the same key finds the same host wherever it is asked. */
export interface HashingPolicy {
  readonly weighsLocalities: boolean;
  /** Hot. Instead of what the context computes; false when there is nothing to hash. */
  computeHash?(context: PickContext, into: Uint64): boolean;
  /** Called when hosts have changed, also with none. */
  tableOf(hosts: readonly WeightedHost[]): HashTable;
}

export interface WeightedHost {
  readonly host: Host;
  /** Its share. Together they are at most 1. */
  readonly weight: number;
}

export interface HashTable {
  /** Hot. No allocation. An index of the hosts; -1 when there are none. */
  choose(hash: Uint64, refusals: number): number;
}

/** One that has to find its hosts first. */
export interface WaitingLoadBalancer extends LoadBalancer {
  /**
   * After `pick` had none. A text says why there is none, as response code details. A function: `onEnd` will be called once, unless the
   * function is called before; then `pick` has a host, or the details say why not.
   */
  awaitHost(context: PickContext, onEnd: (details: string) => void): (() => void) | string;
}

export interface LoadBalancerExtension<Message = never, Config = never> extends Extension<'load_balancer'> {
  parse(message: Message, at: ParseContext, registry: Registry): Config;
  /** Once per cluster and worker. */
  prepare(config: Config, services: WorkerServices, load: ClusterLoad): LoadBalancingPolicy | HashingPolicy;
  /** Main thread: what is shown of the tables that the workers make. */
  readonly gauges?: TableGauges<Config>;
}

export interface ClusterLoad {
  /** Requests of the cluster under way on this thread. */
  readonly activeRequests: number;
}

export interface TableGauges<Config> {
  readonly weighsLocalities: (config: Config) => boolean;
  /** Below `cluster.<name>.` */
  readonly names: readonly string[];
  /** In the order of the names. There is at least one host. */
  readonly values: (config: Config, hosts: readonly WeightedHost[]) => readonly number[];
}

/** Only carries the types. */
export function defineLoadBalancer<Message, Config>(
  extension: LoadBalancerExtension<Message, Config>,
): LoadBalancerExtension {
  return extension as unknown as LoadBalancerExtension;
}
