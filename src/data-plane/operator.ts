// The operator's side of a proxy, on the main thread: statistics of all threads, the admin interface and what it may change.
import type { Admin, AdminOptions } from '#admin/admin.ts';
import { createAdmin } from '#admin/create-admin.ts';
import type {
  CertificatePair,
  ClusterStatus,
  DrainOptions,
  HostHealth,
  HostStatus,
  ListenerStatus,
  ServerOwner,
} from '#admin/owners.ts';
import { AdminServer } from '#admin/server.ts';
import { addressText } from '#base/address-text.ts';
import { systemClock } from '#base/clock.ts';
import { logger, logs } from '#base/logger.ts';
import { TimerWheel } from '#base/timer-wheel.ts';
import type { ParseContext } from '#config/parse-context.ts';
import { AccessLogFiles, type FlushOptions } from '#extension/access-log-files.ts';
import { type AccessLogData, parseAccessLogs } from '#extension/access-logger.ts';
import { HostHealth as Health } from '#extension/load-balancer.ts';
import { compileStringMatcher } from '#extension/matchers/compile.ts';
import type { StringMatcherData } from '#extension/matchers/matcher-config.ts';
import { parseStringMatcher } from '#extension/matchers/parse.ts';
import { durationMs } from '#extension/message-fields.ts';
import type { Registry } from '#extension/registry.ts';
import { Runtime } from '#extension/runtime.ts';
import { secretKey } from '#extension/secrets/secret-key.ts';
import type { WorkerServices } from '#extension/worker-services.ts';
import { create } from '#schema/create.ts';
import type { CommandLineOptions } from '#schema/messages/envoy/admin/v3.ts';
import type { AccessLog } from '#schema/messages/envoy/config/accesslog/v3.ts';
import type { Admin as AdminMessage, Bootstrap } from '#schema/messages/envoy/config/bootstrap/v3.ts';
import type { Address, Node } from '#schema/messages/envoy/config/core/v3.ts';
import { message } from '#schema/registry.ts';
import { type EndpointStat, endpointStats } from '#stats/endpoint-stats.ts';
import { MergedStats } from '#stats/merged.ts';
import { StatsStore } from '#stats/store.ts';
import { TagExtractor, type TagSettings } from '#stats/tags.ts';
import { parseAddress, type SocketAddressData } from './address.ts';
import { RouterStats } from './http/http-stats.ts';
import type { RouteConfigs } from './http/route-configs.ts';
import { routesSections } from './http/routes-dump.ts';
import type { ListenerManager } from './listener/listener-manager.ts';
import { type ListenerSource, listenersSection } from './listener/listeners-dump.ts';
import type { ManagedListener } from './listener/managed-listener.ts';
import { AdminAccessLog } from './observe/admin-access-log.ts';
import { staticSections } from './observe/config-dump-sections.ts';
import { parseLayeredRuntime, type RuntimeLayerConfig, RuntimeLayers } from './observe/runtime-layers.ts';
import { type ServerState, ServerStats, serverStates } from './observe/server-stats.ts';
import { bucketBounds, parseStatsConfig, type StatsSettings, statsFilter } from './observe/stats-config.ts';
import { certificatePairs } from './secrets/certificate-details.ts';
import type { FileSecrets } from './secrets/file-secrets.ts';
import { WorkerSecrets } from './secrets/worker-secrets.ts';
import type { Cds } from './upstream/cds.ts';
import {
  type ClusterConfig,
  type HostConfig,
  keyedHosts,
  type LocalityConfig,
  type Thresholds,
} from './upstream/cluster-config.ts';
import { clustersSection, endpointsSection } from './upstream/clusters-dump.ts';
import { HealthFlag, healthOf } from './upstream/health-flags.ts';
import type { ManagedCluster } from './upstream/managed-cluster.ts';
import type { WorkerPool } from './worker-pool.ts';
import type { FromWorker, HostCounters } from './worker-protocol.ts';
import { WorkerRequests } from './worker-requests.ts';

const log = logger('main');

/** Of a proxy that no command line started. */
export const unnamedProcess: ProcessFacts = {
  version: '',
  hotRestartVersion: '',
  commandLineOptions: message('envoy.admin.v3.CommandLineOptions').create(),
  concurrency: 1,
  adminAddressPath: undefined,
  drainTimeMs: 600_000,
  drainsImmediately: false,
  fixedTags: [],
  workInProgress: 0,
  deprecatedUses: 0,
  quit() {},
};

/** What the bootstrap says to operators, as plain data. */
export interface OperatorConfig {
  readonly stats: StatsSettings;
  readonly statsFlushIntervalMs: number;
  /** Every page of statistics starts a new interval, instead of the clock. */
  readonly statsFlushOnAdmin: boolean;
  /** `server.version` */
  readonly statsServerVersion: number;
  readonly runtime: readonly RuntimeLayerConfig[];
  /** Undefined: no admin interface. */
  readonly admin: AdminConfig | undefined;
}

export interface AdminConfig {
  readonly address: SocketAddressData;
  /** Empty: all. */
  readonly allowPaths: readonly StringMatcherData[];
  /** `access_log`, and `access_log_path` as one more. */
  readonly accessLogs: readonly AccessLogData[];
}

/** What the command line says of the process. */
export interface ProcessFacts {
  readonly version: string;
  readonly hotRestartVersion: string;
  readonly commandLineOptions: CommandLineOptions;
  readonly concurrency: number;
  /** `--admin-address-path` */
  readonly adminAddressPath: string | undefined;
  readonly drainTimeMs: number;
  /** `--drain-strategy immediate`: every response says goodbye at once; else more and more of them do. */
  readonly drainsImmediately: boolean;
  /** `--stats-tag` */
  readonly fixedTags: readonly (readonly [name: string, value: string])[];
  /** Uses of parts of the API that Envoy calls work in progress. */
  readonly workInProgress: number;
  /** How often Envoy would have seen deprecated fields. */
  readonly deprecatedUses: number;
  /** POST /quitquitquit. */
  quit(): void;
}

export function parseOperatorConfig(
  bootstrap: Bootstrap,
  at: ParseContext,
  registry: Registry,
): OperatorConfig {
  return {
    stats: parseStatsConfig(bootstrap.stats_config, at.field('stats_config')),
    statsFlushIntervalMs: durationMs(bootstrap.stats_flush_interval, 5000),
    statsFlushOnAdmin: bootstrap.stats_flush_on_admin ?? false,
    statsServerVersion: Number(bootstrap.stats_server_version_override ?? 0n),
    runtime: parseLayeredRuntime(bootstrap.layered_runtime, at.field('layered_runtime')),
    admin: parseAdmin(bootstrap.admin, at.field('admin'), registry),
  };
}

function parseAdmin(
  message: AdminMessage | undefined,
  at: ParseContext,
  registry: Registry,
): AdminConfig | undefined {
  if (message?.address === undefined) return undefined;
  if (message.socket_options.length > 0) at.field('socket_options').unsupported();
  const address = parseAddress(message.address, at.field('address'));
  if (address === undefined) return undefined;
  const allowPaths = message.allow_paths.map((it, i) => parseStringMatcher(it, at.field('allow_paths', i)));
  const accessLogs = parseAccessLogs(message.access_log, at.field('access_log'), registry);
  if (message.access_log_path !== '') {
    const file: AccessLog = create('envoy.config.accesslog.v3.AccessLog', {
      name: 'envoy.access_loggers.file',
      typed_config: {
        '@type': 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog',
        path: message.access_log_path,
      },
    });
    accessLogs.push(...parseAccessLogs([file], at.field('access_log_path'), registry));
  }
  return { address, allowPaths, accessLogs };
}

/** The proxy as the pages show it. */
export interface OperatedProxy {
  /** As written, with what we are. */
  readonly bootstrap: Bootstrap;
  /** As the command line names it. */
  readonly node: Node;
  listeners(): ListenerManager;
  /** Undefined without LDS. */
  lds(): ListenerSource | undefined;
  /** With the members as they are now. */
  clusters(): readonly ManagedCluster[];
  warmingClusters(): readonly ManagedCluster[];
  /** Undefined without CDS. */
  cds(): Cds | undefined;
  routes(): RouteConfigs;
  secrets(): FileSecrets;
  /** What only the main thread counts of clusters is up to date then. */
  refreshStats(): void;
  /** This machine's first address that is not loopback. */
  readonly localAddress: string;
  readonly logFlush: FlushOptions;
}

export class Operator implements ServerOwner {
  readonly store: StatsStore;
  readonly runtime: RuntimeLayers;
  /** What the layers come to, for the main thread. */
  readonly runtimeValues = new Runtime();
  readonly version: string;
  readonly hotRestartVersion: string;
  readonly commandLineOptions: CommandLineOptions;
  readonly node: Node;
  readonly #config: OperatorConfig;
  readonly #proxy: OperatedProxy;
  readonly #process: ProcessFacts;
  readonly #pool: WorkerPool;
  readonly #requests: WorkerRequests;
  readonly #merged: MergedStats;
  readonly #server: ServerStats;
  readonly #startMs = performance.now();
  readonly #admin: AdminServer | undefined;
  #flush: NodeJS.Timeout | undefined = undefined;
  readonly #accessLogFiles: AccessLogFiles;
  /** What extensions that run on the main thread get. */
  readonly services: WorkerServices;
  readonly secrets = new WorkerSecrets();
  readonly #timers = new TimerWheel(systemClock);
  #isInitialized = false;
  #isFailing = false;

  constructor(
    config: OperatorConfig,
    proxy: OperatedProxy,
    facts: ProcessFacts,
    registry: Registry,
    pool: WorkerPool,
  ) {
    this.#config = config;
    this.#proxy = proxy;
    this.#process = facts;
    this.#pool = pool;
    this.#requests = new WorkerRequests(pool);
    this.version = facts.version;
    this.hotRestartVersion = facts.hotRestartVersion;
    this.commandLineOptions = facts.commandLineOptions;
    this.node = proxy.node;
    this.store = new StatsStore(statsFilter(config.stats.matcher));
    this.#merged = new MergedStats(this.store);
    // Requests of the proxy itself, as mirrors: counted in workers, listed from the start.
    this.store.scope('http.async-client').declare(RouterStats);
    this.#accessLogFiles = new AccessLogFiles(this.store, proxy.logFlush);
    const { root } = this.store;
    this.#server = root.scope('server').stats(ServerStats);
    this.#server.concurrency.value = facts.concurrency;
    this.#server.wipProtos.value = facts.workInProgress;
    if (facts.hotRestartVersion !== 'disabled')
      root.scope('server').gauge('hot_restart_generation', 'never_import').value = 1;
    this.#server.hotRestartEpoch.value = facts.commandLineOptions.restart_epoch;
    this.#server.version.value = config.statsServerVersion;
    this.runtime = new RuntimeLayers(config.runtime, this.node.cluster, root, (values) => {
      this.runtimeValues.values = new Map(Object.entries(values));
      pool.postAll({ type: 'runtime', values });
    });
    this.runtime.noteDeprecated(facts.deprecatedUses);
    this.runtimeValues.values = new Map(Object.entries(this.runtime.values()));
    this.services = this.#createServices();
    this.#updateState();
    this.#admin = config.admin && this.#createAdminServer(config.admin, registry);
    if (!config.statsFlushOnAdmin) {
      this.#flush = setInterval(() => void this.#flushStats(), config.statsFlushIntervalMs).unref();
    }
  }

  /** Rejects when the admin address cannot be bound. */
  async start(): Promise<void> {
    const admin = this.#config.admin?.address;
    if (admin === undefined) log.info('No admin address given, so no admin HTTP server started.');
    else log.info(`Starting admin HTTP server at ${addressText(admin.address, admin.port)}`);
    await this.#admin?.start();
  }

  /** Where the admin interface listens; undefined without one. */
  adminAddress(): string | undefined {
    return this.#admin?.boundAddress();
  }

  /** All listeners are bound in all workers. */
  initialized(): void {
    this.certificatesChanged();
    this.#isInitialized = true;
    this.#server.initializationTimeMs.record(performance.now() - this.#startMs);
    this.#updateState();
  }

  /** What a new worker has to know before clusters and listeners come. */
  prime(index: number): void {
    this.#pool.post(index, { type: 'log_levels', levels: logs.levels() });
    this.#pool.post(index, { type: 'runtime', values: this.runtime.values() });
    if (this.#isFailing) this.#pool.post(index, { type: 'health_check', failed: true });
  }

  receive(index: number, message: FromWorker): void {
    this.#requests.receive(index, message);
  }

  workerGone(index: number): void {
    this.#merged.retire(index);
    this.#requests.workerGone(index);
  }

  async close(): Promise<void> {
    clearInterval(this.#flush);
    this.runtime.close();
    await this.#admin?.close();
    this.#timers.close();
    await new Promise<void>((resolve) => this.#accessLogFiles.close(resolve));
  }

  state(): ServerState {
    if (!this.#isInitialized) return 'INITIALIZING';
    return this.#isFailing ? 'DRAINING' : 'LIVE';
  }

  uptimeCurrentEpochMs(): number {
    return performance.now();
  }

  uptimeAllEpochsMs(): number {
    return performance.now();
  }

  failHealthCheck(failed: boolean): void {
    this.#isFailing = failed;
    this.#updateState();
    this.#pool.postAll({ type: 'health_check', failed });
  }

  drainListeners(options: DrainOptions): void {
    this.#proxy.listeners().drainAll(options);
  }

  quit(): void {
    this.#process.quit();
  }

  reopenLogs(): void {
    logs.reopen();
    this.#accessLogFiles.reopen();
    this.#pool.postAll({ type: 'reopen_logs' });
  }

  unreadyTargets(): readonly [] {
    return [];
  }

  /** Brings `MergedStats` up to date. */
  async scrape(): Promise<void> {
    this.#proxy.refreshStats();
    const { heapUsed, heapTotal, external, rss } = process.memoryUsage();
    this.#server.uptime.value = Math.floor(performance.now() / 1000);
    this.#server.memoryAllocated.value = heapUsed + external;
    this.#server.memoryHeapSize.value = heapTotal + external;
    this.#server.memoryPhysicalSize.value = rss;
    await this.#requests.ask('scrape', (index, answer) => {
      if (answer.type === 'stats') this.#merged.update(index, answer.snapshot);
    });
  }

  async #flushStats(): Promise<void> {
    await this.scrape();
    this.#merged.flush();
  }

  #createServices(): WorkerServices {
    return {
      stats: this.store.root,
      runtime: this.runtimeValues,
      accessLogFiles: this.#accessLogFiles,
      secrets: this.secrets,
      timers: this.#timers,
      clock: systemClock,
      lifecycle: { isHealthCheckFailed: false, membership: () => undefined },
      localCluster: this.node.cluster,
      node: this.node,
      // The main thread has no clusters of its own.
      asyncClient: { start: () => undefined },
    };
  }

  #updateState(): void {
    const state = this.state();
    this.#server.state.value = serverStates.indexOf(state);
    this.#server.live.value = state === 'LIVE' ? 1 : 0;
  }

  #createAdminServer({ address, allowPaths, accessLogs }: AdminConfig, registry: Registry): AdminServer {
    const { adminAddressPath } = this.#process;
    const log = new AdminAccessLog(accessLogs, registry, this.services, this.#proxy.localAddress);
    return new AdminServer({
      admin: this.#createAdmin(allowPaths),
      address:
        address.port < 0
          ? { path: address.address.replace(/^@/, '\0'), mode: address.mode }
          : { host: address.address, port: address.port },
      stats: this.store.root,
      addressPath: adminAddressPath,
      onRequestEnd: (entry) => log.log(entry),
    });
  }

  #createAdmin(allowPaths: readonly StringMatcherData[]): Admin {
    const { bootstrap } = this.#proxy;
    const matchers = allowPaths.map(compileStringMatcher);
    const allowed: AdminOptions =
      matchers.length === 0 ? {} : { allows: (path) => matchers.some((it) => it.matches(path)) };
    return createAdmin({
      ...allowed,
      server: this,
      stats: {
        scrape: async () => {
          await this.scrape();
          // The page shows histograms as they were merged before, as in Envoy.
          if (this.#config.statsFlushOnAdmin) void this.#flushStats();
        },
        endpoints: () => this.#endpointStats(),
        resetWorkerCounters: () => this.#requests.ask('reset_counters'),
      },
      logging: { levelsChanged: () => this.#pool.postAll({ type: 'log_levels', levels: logs.levels() }) },
      listeners: { listeners: () => this.#proxy.listeners().active.map(listenerStatus) },
      clusters: { clusters: () => this.#clusterStatuses() },
      certificates: { certificates: () => this.#certificates() },
      runtime: this.runtime,
      configDump: [
        ...staticSections(bootstrap, Date.now(), () => this.#proxy.secrets().subscriptions),
        listenersSection(
          () => this.#proxy.listeners(),
          () => this.#proxy.lds(),
        ),
        clustersSection(
          () => this.#proxy.clusters(),
          () => this.#proxy.warmingClusters(),
          () => this.#proxy.cds()?.version ?? '',
        ),
        endpointsSection(() => this.#proxy.clusters(), assignment),
        ...routesSections(
          () => this.#proxy.listeners(),
          () => this.#proxy.routes(),
        ),
      ],
      merged: this.#merged,
      tags: new TagExtractor(withFixedTags(this.#config.stats.tags, this.#process.fixedTags)),
      bounds: bucketBounds(this.#config.stats),
    });
  }

  #certificates(): readonly CertificatePair[] {
    const fixed = this.#proxy.bootstrap.static_resources?.secrets ?? [];
    const used = [
      this.#proxy.listeners().active.map((it) => it.message),
      this.#proxy.clusters().map((it) => it.source.message),
    ];
    return certificatePairs(used, (reference) =>
      reference.sds_config === undefined
        ? fixed.find((it) => it.name === reference.name)
        : this.#proxy.secrets().message(secretKey(reference)),
    );
  }

  /** Of those that listeners and clusters use, one is another now. */
  certificatesChanged(): void {
    const all = this.#certificates().flatMap((it) => [...it.caCertificates, ...it.certificateChain]);
    // Without certificates Envoy shows the largest unsigned 32-bit number.
    const days = all.map(({ expirationMs }) => Math.floor((expirationMs - Date.now()) / 86_400_000));
    this.#server.daysUntilFirstCertExpiring.value =
      days.length === 0 ? 4_294_967_295 : Math.max(Math.min(...days), 0);
  }

  async #endpointStats(): Promise<EndpointStat[]> {
    const clusters = this.#proxy.clusters().filter(({ config }) => config.tracked.perEndpoint);
    if (clusters.length === 0) return [];
    const counters = await this.#hostCounters();
    return clusters.flatMap(({ config, hosts }) =>
      hostStatuses(config, hosts, counters.get(config.name)).flatMap(([status, host]) =>
        endpointStats(endpointNumbers(config, status, host)),
      ),
    );
  }

  async #hostCounters(): Promise<Map<string, Map<string, HostCounters>>> {
    const counters = new Map<string, Map<string, HostCounters>>();
    await this.#requests.ask('hosts_stats', (_, answer) => {
      if (answer.type !== 'hosts_stats') return;
      for (const [cluster, hosts] of Object.entries(answer.clusters)) {
        const known = counters.get(cluster) ?? new Map<string, HostCounters>();
        counters.set(cluster, known);
        for (const host of hosts) known.set(host.key, added(known.get(host.key), host));
      }
    });
    return counters;
  }

  async #clusterStatuses(): Promise<ClusterStatus[]> {
    const counters = await this.#hostCounters();
    return this.#proxy.clusters().map((managed): ClusterStatus => {
      const { config, hosts, isStatic, source } = managed;
      const { eds_cluster_config: eds, outlier_detection: outlier } = source.message;
      return {
        name: config.name,
        observabilityName: config.statName,
        addedViaApi: !isStatic,
        edsServiceName: eds?.service_name || undefined,
        outlier:
          outlier === undefined
            ? undefined
            : {
                successRateAverage: -1,
                successRateEjectionThreshold: -1,
                localOriginSuccessRateAverage: -1,
                localOriginSuccessRateEjectionThreshold: -1,
              },
        defaultPriority: limits(managed.limits(0), managed.maxRetries(0)),
        highPriority: limits(managed.limits(1), managed.maxRetries(1)),
        hosts: hostStatuses(config, hosts, counters.get(config.name)).map(([status]) => status),
      };
    });
  }
}

function assignment({ name, hosts, source: { message, discovery } }: ManagedCluster) {
  // Whatever DNS has found has some.
  const metadata = discovery.dns === undefined ? undefined : {};
  return {
    cluster_name: message.eds_cluster_config?.service_name || name,
    endpoints: byLocality(hosts).map((it) => ({
      locality: { region: it.region, zone: it.zone, sub_zone: it.subZone },
      lb_endpoints: it.hosts.map((host) => lbEndpoint({ ...host, metadata: host.metadata ?? metadata })),
      load_balancing_weight: it.weight,
      priority: it.priority,
    })),
    policy: { overprovisioning_factor: message.load_assignment?.policy?.overprovisioning_factor ?? 140 },
  };
}

function listenerStatus({ name, config, sockets }: ManagedListener): ListenerStatus {
  const { addresses } = config;
  return {
    name,
    addresses: addresses.map((it, i) => addressMessage(it.address, sockets?.ports?.[i] ?? it.port)),
  };
}

function withFixedTags(settings: TagSettings, fixed: ProcessFacts['fixedTags']): TagSettings {
  return {
    ...settings,
    tags: [...settings.tags, ...fixed.map(([name, fixedValue]) => ({ name, fixedValue }))],
  };
}

function limits({ maxConnections, maxPendingRequests, maxRequests }: Thresholds, maxRetries: number) {
  return { maxConnections, maxPendingRequests, maxRequests, maxRetries };
}

function added(known: HostCounters | undefined, more: HostCounters): HostCounters {
  if (known === undefined) return more;
  return {
    key: more.key,
    cxActive: known.cxActive + more.cxActive,
    cxConnectFail: known.cxConnectFail + more.cxConnectFail,
    cxTotal: known.cxTotal + more.cxTotal,
    rqActive: known.rqActive + more.rqActive,
    rqError: known.rqError + more.rqError,
    rqSuccess: known.rqSuccess + more.rqSuccess,
    rqTimeout: known.rqTimeout + more.rqTimeout,
    rqPendingActive: known.rqPendingActive + more.rqPendingActive,
    rqTotal: known.rqTotal + more.rqTotal,
  };
}

/** By priority. */
function hostStatuses(
  config: ClusterConfig,
  localities: readonly LocalityConfig[],
  counters: ReadonlyMap<string, HostCounters> | undefined,
): [status: HostStatus, host: HostConfig][] {
  return [...keyedHosts(config, localities)]
    .sort(([, , a], [, , b]) => a.priority - b.priority)
    .map(([key, host, locality]) => [hostStatus(host, locality, counters?.get(key)), host]);
}

function hostStatus(
  host: HostConfig,
  { region, zone, subZone, priority }: LocalityConfig,
  counted: HostCounters | undefined,
): HostStatus {
  return {
    address: addressMessage(host.address, host.port),
    hostname: host.hostname,
    stats: {
      cxActive: counted?.cxActive ?? 0,
      cxConnectFail: counted?.cxConnectFail ?? 0,
      cxTotal: counted?.cxTotal ?? 0,
      rqActive: counted?.rqActive ?? 0,
      rqError: counted?.rqError ?? 0,
      rqPendingActive: counted?.rqPendingActive ?? 0,
      rqSuccess: counted?.rqSuccess ?? 0,
      rqTimeout: counted?.rqTimeout ?? 0,
      rqTotal: counted?.rqTotal ?? 0,
    },
    health: hostHealth(host),
    weight: host.weight,
    locality: { region, zone, subZone },
    canary: host.metadata?.['envoy.lb']?.canary === true,
    priority,
    successRate: -1,
    localOriginSuccessRate: -1,
  };
}

function endpointNumbers({ statName }: ClusterConfig, { stats }: HostStatus, host: HostConfig) {
  return {
    cluster: statName,
    address: addressText(host.address, host.port),
    hostname: host.hostname,
    counters: {
      cx_connect_fail: stats.cxConnectFail,
      cx_total: stats.cxTotal,
      rq_error: stats.rqError,
      rq_success: stats.rqSuccess,
      rq_timeout: stats.rqTimeout,
      rq_total: stats.rqTotal,
    },
    gauges: {
      cx_active: stats.cxActive,
      rq_active: stats.rqActive,
      rq_pending_active: stats.rqPendingActive,
      healthy: healthOf(host.flags) === Health.Healthy ? 1 : 0,
    },
  };
}

function byPriority(localities: readonly LocalityConfig[]): LocalityConfig[] {
  return localities.toSorted((a, b) => a.priority - b.priority);
}

/** As load balancing has them: those of one locality and priority together. */
function byLocality(localities: readonly LocalityConfig[]): LocalityConfig[] {
  const joined = new Map<string, LocalityConfig>();
  for (const it of byPriority(localities)) {
    const key = JSON.stringify([it.priority, it.region, it.zone, it.subZone]);
    const known = joined.get(key);
    joined.set(key, known === undefined ? it : { ...known, hosts: [...known.hosts, ...it.hosts] });
  }
  return [...joined.values()];
}

function lbEndpoint(host: HostConfig): object {
  const { healthCheck, port } = host;
  return {
    endpoint: {
      address: addressMessage(host.address, port),
      health_check_config: {
        port_value: healthCheck === undefined || healthCheck.port === port ? 0 : healthCheck.port,
        hostname: healthCheck?.hostname ?? '',
      },
      hostname: host.hostname,
    },
    health_status: healthNames[healthOf(host.flags)],
    ...(host.metadata && { metadata: { filter_metadata: host.metadata } }),
    load_balancing_weight: host.weight,
  };
}

const healthNames = {
  [Health.Unhealthy]: 'UNHEALTHY',
  [Health.Degraded]: 'DEGRADED',
  [Health.Healthy]: 'HEALTHY',
} as const;

/** The health of a host, as flags of Envoy. */
function hostHealth({ flags, healthStatus }: HostConfig): HostHealth {
  const has = (flag: HealthFlag) => (flags & flag) !== 0;
  return {
    failedActiveHealthCheck: has(HealthFlag.FailedActive),
    failedEdsHealth: has(HealthFlag.FailedEds),
    degradedActiveHealthCheck: has(HealthFlag.DegradedActive),
    degradedEdsHealth: has(HealthFlag.DegradedEds),
    pendingDynamicRemoval: has(HealthFlag.PendingRemoval),
    pendingActiveHealthCheck: has(HealthFlag.PendingActive),
    excludedViaImmediateHealthCheckFail: has(HealthFlag.ExcludedImmediate),
    activeHealthCheckTimeout: has(HealthFlag.ActiveTimeout),
    edsStatusDraining: has(HealthFlag.EdsDraining),
    edsHealthStatus: healthStatus === 'UNKNOWN' ? 'HEALTHY' : healthStatus,
  };
}

function addressMessage(address: string, port: number): Address {
  return create(
    'envoy.config.core.v3.Address',
    port < 0 ? { pipe: { path: address } } : { socket_address: { address, port_value: port } },
  );
}
