// What all connections of one configured connection manager share in a worker: everything prepared, flat.
import type { TimerWheel } from '#base/timer-wheel.ts';
import type { AccessLogger } from '#extension/access-logger.ts';
import type { HeaderMutations } from '#extension/header-mutations.ts';
import type { MatcherTree } from '#extension/matchers/matcher-tree.ts';
import type { StreamSubject } from '#extension/matchers/stream-input.ts';
import type { OriginalIpDetection } from '#extension/original-ip-detection.ts';
import type { Runtime } from '#extension/runtime.ts';
import type { ByteSink, ServerCodec, ServerCodecOwner } from '#http/codec.ts';
import type { HeaderMap } from '#http/header-map.ts';
import type { PathOptions } from '#http/path.ts';
import type { ClusterLookup } from '../upstream/cluster.ts';
import type { AsyncShared } from './async-request.ts';
import type { UpstreamFilterPlan } from './attempt-filters.ts';
import type { UpstreamLogs } from './attempt-log.ts';
import type { ConnectionManager } from './connection-manager.ts';
import type { FilterPlan } from './filter-plan.ts';
import type { ClientCertData } from './forwarded-client-cert-config.ts';
import type {
  ConnectionManagerStats,
  ListenerHttpStats,
  RouteResolutionStats,
  RouterStats,
  TracingStats,
} from './http-stats.ts';
import type { ConnectionManagerConfig } from './manager-config.ts';
import type { RouteTable } from './route-entry.ts';
import type { Stream } from './stream.ts';

/** Rewrites local replies (`local_reply_config`). */
export interface LocalReplyMapper {
  /** Of the body that `map` returned last; empty: nothing is said about it. */
  readonly contentType: string;
  /** May change status and headers; returns the body. */
  map(stream: Stream, headers: HeaderMap, body: string): string;
}

export interface ManagerShared {
  readonly config: ConnectionManagerConfig;
  readonly stats: ConnectionManagerStats;
  readonly routerStats: RouterStats;
  readonly tracingStats: TracingStats;
  /** For requests the proxy makes itself, as mirrors. */
  readonly asyncClient: AsyncShared;
  /** Null: not recorded. */
  readonly routeResolution: RouteResolutionStats | null;
  readonly listenerStats: ListenerHttpStats;
  readonly plan: FilterPlan;
  /** Of upgrades that have filters of their own, by type. */
  readonly upgradePlans: ReadonlyMap<string, FilterPlan>;
  /** Replaced as a whole when RDS or a listener update brings new routes. */
  routes: RouteTable;
  readonly clusters: ClusterLookup;
  readonly accessLogs: readonly AccessLogger[];
  /** Null: attempts are not logged. */
  /** Null: none, unless the cluster has its own. */
  readonly upstreamFilters: UpstreamFilterPlan | null;
  readonly upstreamLogs: UpstreamLogs | null;
  readonly timers: TimerWheel;
  readonly runtime: Runtime;
  /** Null: none. */
  readonly earlyMutations: HeaderMutations | null;
  /** Tried in this order; none when the connection manager's own rules hold. */
  readonly ipDetections: readonly OriginalIpDetection[];
  /** Undefined: paths stay as they come. */
  readonly pathOptions: PathOptions | undefined;
  /** Null: none. */
  readonly clientCertMatcher: MatcherTree<StreamSubject, ClientCertData> | null;
  /** A request may get x-forwarded-client-cert that had none. */
  readonly addsClientCert: boolean;
  /** `proxy_status_config`; null: not said. */
  readonly addProxyStatus: ((stream: Stream, headers: HeaderMap) => void) | null;
  readonly localReplies: LocalReplyMapper | undefined;
  readonly bufferLimitBytes: number;
  readonly streamIdleTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly maxStreamDurationMs: number;
  /** `internal_address_config`; undefined: nobody is internal. */
  readonly isInternalAddress: ((ip: string) => boolean) | undefined;
  /** `node.id`, for x-envoy-downstream-service-node. */
  readonly nodeName: string;
  readonly nodeCluster: string;
  /** Appended to x-forwarded-for in place of a loopback peer. */
  readonly localAddress: string;
  readonly connections: Set<ConnectionManager>;
  newCodec(isHttp2: boolean, isTls: boolean, owner: ServerCodecOwner, sink: ByteSink): ServerCodec;
}
