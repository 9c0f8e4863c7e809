// The admin interface of a proxy: every endpoint with its owner.
import { type Logs, logs as threadLogs } from '#base/logger.ts';
import { type BucketBounds, defaultBuckets } from '#stats/histogram-statistics.ts';
import type { MergedStats } from '#stats/merged.ts';
import { TagExtractor } from '#stats/tags.ts';
import { Admin, type AdminOptions } from './admin.ts';
import { certsEndpoint } from './endpoints/certs.ts';
import { clustersEndpoint } from './endpoints/clusters.ts';
import { ConfigDump } from './endpoints/config-dump.ts';
import { listenersEndpoint } from './endpoints/listeners.ts';
import { loggingEndpoint } from './endpoints/logging.ts';
import { processEndpoints } from './endpoints/process.ts';
import { runtimeEndpoints } from './endpoints/runtime.ts';
import { serverEndpoints } from './endpoints/server.ts';
import { statsEndpoints } from './endpoints/stats.ts';
import type {
  CertificatesOwner,
  ClustersOwner,
  ConfigDumpSection,
  ListenersOwner,
  LoggingOwner,
  RuntimeOwner,
  ServerOwner,
  StatsOwner,
} from './owners.ts';

export interface AdminOwners extends AdminOptions {
  readonly server: ServerOwner;
  readonly stats: StatsOwner;
  readonly logging: LoggingOwner;
  readonly listeners: ListenersOwner;
  readonly clusters: ClustersOwner;
  readonly certificates: CertificatesOwner;
  readonly runtime: RuntimeOwner;
  readonly configDump: readonly ConfigDumpSection[];
  readonly merged: MergedStats;
  /** From `stats_config`. */
  readonly tags?: TagExtractor;
  readonly bounds?: BucketBounds;
  readonly logs?: Logs;
  /** The wall clock. */
  readonly nowMs?: () => number;
}

export function createAdmin(owners: AdminOwners): Admin {
  const { merged, tags = new TagExtractor(), bounds = () => defaultBuckets, logs = threadLogs } = owners;
  const admin = new Admin(owners);
  const configDump = new ConfigDump();
  configDump.register(...owners.configDump);
  admin.register(
    ...serverEndpoints(owners.server),
    ...processEndpoints(),
    ...statsEndpoints({ stats: merged, tags, bounds, owner: owners.stats }),
    ...runtimeEndpoints(owners.runtime),
    loggingEndpoint(logs, owners.logging),
    listenersEndpoint(owners.listeners),
    clustersEndpoint(owners.clusters),
    certsEndpoint(owners.certificates, owners.nowMs ?? Date.now),
    configDump.endpoint(),
  );
  return admin;
}
