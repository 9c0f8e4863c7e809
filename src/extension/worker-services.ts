// What a worker offers to everything prepared in it.
import type { Clock } from '#base/clock.ts';
import type { TimerWheel } from '#base/timer-wheel.ts';
import type { AsyncClient } from '#http/async-client.ts';
import type { Node } from '#schema/messages/envoy/config/core/v3.ts';
import type { Scope } from '#stats/store.ts';
import type { AccessLogFiles } from './access-log-files.ts';
import type { Runtime } from './runtime.ts';
import type { SecretStore } from './secrets/secret-data.ts';

export interface WorkerServices {
  /** The scope without a prefix; `stats.scope('cluster.web')` is the usual way down. */
  readonly stats: Scope;
  readonly runtime: Runtime;
  readonly secrets: SecretStore;
  readonly accessLogFiles: AccessLogFiles;
  /** For everything that is usually cancelled. */
  readonly timers: TimerWheel;
  readonly clock: Clock;
  readonly lifecycle: Lifecycle;
  /** For requests of the extension's own, to a cluster. */
  readonly asyncClient: AsyncClient;
  /** `node.cluster`: what this proxy is called as a member of the mesh. */
  readonly localCluster: string;
  /** What this proxy says of itself to services. */
  readonly node: Node;
}

/** What the process is about to do, and how its clusters are. */
export interface Lifecycle {
  /** After `POST /healthcheck/fail`, and while draining. */
  readonly isHealthCheckFailed: boolean;
  /** Undefined when there is no such cluster. `usable`: healthy or degraded. */
  membership(cluster: string): { readonly total: number; readonly usable: number } | undefined;
}
