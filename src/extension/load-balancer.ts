// The contract of load-balancing policies. A policy is told about hosts when they change and asked for one per request.
import type { ParseContext } from '#config/parse-context.ts';
import type { HeaderMap } from '#http/header-map.ts';
import type { TlvData } from './proxy-protocol-config.ts';
import type { Extension, Registry } from './registry.ts';
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

/** Why a host is wanted. One object of the caller's, valid during the call. */
export interface PickContext {
  /** Not negative, 31 bits, new for every pick. */
  readonly random: number;
  /** Of the route's hash policies; undefined when none gave one. */
  readonly hash: bigint | undefined;
  /** Subset selection by the route. */
  readonly metadataMatch: Readonly<Record<string, unknown>> | undefined;
  /** Of whom the host is for; absent for requests of our own. */
  readonly streamInfo?: StreamInfo | undefined;
  readonly requestHeaders?: HeaderMap | undefined;
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
  /** Called when hosts have changed. Sorting and table building belong here, not into `choose`. */
  chooserOf(hosts: readonly Host[]): HostChooser;
}

export interface HostChooser {
  /** Hot. No allocation. `undefined` only when there are no hosts. */
  choose(context: PickContext): Host | undefined;
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
  prepare(config: Config, services: WorkerServices): LoadBalancingPolicy;
}

/** Only carries the types. */
export function defineLoadBalancer<Message, Config>(
  extension: LoadBalancerExtension<Message, Config>,
): LoadBalancerExtension {
  return extension as unknown as LoadBalancerExtension;
}
