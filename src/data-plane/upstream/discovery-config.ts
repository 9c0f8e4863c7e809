// How a cluster finds its hosts, as plain data for the main thread. Workers never see it: they get hosts.

import type { LocalityConfig } from './cluster-config.ts';
import type { AskedResolvers } from './parse-resolvers.ts';
import type { EdsConfig } from './eds-discovery.ts';

export const LookupFamily = { Auto: 0, V4Only: 1, V6Only: 2, V4Preferred: 3, All: 4 } as const;
export type LookupFamily = (typeof LookupFamily)[keyof typeof LookupFamily];

export interface DnsConfig {
  readonly resolvers: AskedResolvers;
  readonly family: LookupFamily;
  readonly refreshMs: number;
  readonly jitterMs: number;
  /** After a failure; base and maximum of a growing interval. */
  readonly failureBaseMs: number;
  readonly failureMaxMs: number;
  /** The interval is drawn anew each time, up to what it has grown to. */
  readonly spreadsFailures: boolean;
  readonly respectTtl: boolean;
  /** LOGICAL_DNS and its like: one host whose address is the first answer of the day. */
  readonly isLogical: boolean;
}

export interface DiscoveryConfig {
  /** As configured: for DNS the addresses are names. */
  readonly assignment: readonly LocalityConfig[];
  /** Undefined: STATIC. */
  readonly dns: DnsConfig | undefined;
  readonly eds: EdsConfig | undefined;
  /** False: the server starts before the first answer. */
  readonly waitsForWarm: boolean;
}
