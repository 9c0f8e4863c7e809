// A listener as plain data.
import type { AccessLogData } from '#extension/access-logger.ts';
import type { Configured } from '#extension/registry.ts';
import type { ListenSocketOptions } from '#net/listening-socket.ts';
import type { SocketAddressData } from '../address.ts';
import type { ChainMatcherData } from './chain-matcher.ts';
import type { ListenerFilterPredicate } from './listener-filter-predicate.ts';

export type Metadata = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

export interface ListenerConfig {
  readonly name: string;
  /** The first is `address`, others are `additional_addresses`. */
  readonly addresses: readonly ListenerAddress[];
  /** `stat_prefix`, or the address as text: `127.0.0.1_80`. */
  readonly statPrefix: string;
  readonly reusePort: boolean;
  /** False: connections come from another listener only, see `usesOriginalDst`. */
  readonly bindsToPort: boolean;
  /** Connections that were redirected go to the listener of the address they were meant for. */
  readonly usesOriginalDst: boolean;
  /** How many one wake-up may accept, for the histogram; 0: all that wait. */
  readonly maxAcceptsPerEvent: number;
  readonly ignoresGlobalLimit: boolean;
  readonly backlog: number;
  readonly bufferLimitBytes: number;
  readonly filterChains: readonly FilterChainConfig[];
  readonly defaultFilterChain: FilterChainConfig | undefined;
  /** In the place of the chains' `match`. */
  readonly chainMatcher: ChainMatcherData | undefined;
  readonly listenerFilters: readonly ListenerFilterConfig[];
  /** Undefined for a listener of connections. */
  readonly udp: UdpListenerConfig | undefined;
  readonly listenerFiltersTimeoutMs: number;
  readonly continueOnListenerFiltersTimeout: boolean;
  readonly trafficDirection: string;
  readonly accessLogs: readonly AccessLogData[];
  readonly metadata: Metadata | undefined;
  /** `DrainType`: true when only a modification drains, not a failing health check. */
  readonly drainsOnlyOnModify: boolean;
}

export interface ListenerAddress extends SocketAddressData {
  /** 0: no TCP keep-alive. */
  readonly keepAliveMs: number;
  readonly options: ListenSocketOptions | undefined;
}

export interface ListenerFilterConfig extends Configured {
  /** `filter_disabled` */
  readonly disabled: ListenerFilterPredicate | undefined;
}

export interface UdpListenerConfig {
  /** Longer ones are dropped. */
  readonly maxDatagramBytes: number;
  readonly filters: readonly Configured[];
}

export interface FilterChainConfig {
  readonly name: string;
  readonly match: FilterChainMatchConfig | undefined;
  readonly filters: readonly Configured[];
  readonly transportSocket: Configured;
  /** 0: none. */
  readonly transportConnectTimeoutMs: number;
  readonly metadata: Metadata | undefined;
}

export interface FilterChainMatchConfig {
  readonly destinationPort: number;
  readonly prefixRanges: readonly string[];
  readonly directSourcePrefixRanges: readonly string[];
  readonly sourceType: string;
  readonly sourcePrefixRanges: readonly string[];
  readonly sourcePorts: readonly number[];
  readonly serverNames: readonly string[];
  readonly transportProtocol: string;
  readonly applicationProtocols: readonly string[];
}
