// The main thread of a proxy: parses the bootstrap into plain data, starts the workers, and owns what exists once.
import { networkInterfaces } from 'node:os';
import { systemClock } from '#base/clock.ts';
import { type LogSettings, logger } from '#base/logger.ts';
import type { ConfigError } from '#config/config-error.ts';
import type { LoadOptions } from '#config/load-options.ts';
import { readMessageFile } from '#config/message-file.ts';
import { ParseContext } from '#config/parse-context.ts';
import type { FlushOptions } from '#extension/access-log-files.ts';
import { type Extension, Registry } from '#extension/registry.ts';
import type { Message } from '#schema/descriptor.ts';
import type { Bootstrap } from '#schema/messages/envoy/config/bootstrap/v3.ts';
import type { FileSourceContext } from '#xds/file-source.ts';
import { checkBootstrapFields } from './bootstrap-fields.ts';
import { coreExtensions } from './core-extensions.ts';
import { withoutDisabled } from './disabled-extensions.ts';
import { DnsCaches } from './dynamic-forward-proxy/dns-caches.ts';
import { type DynamicResourcesConfig, parseDynamicResources } from './dynamic-resources.ts';
import { RouteConfigs } from './http/route-configs.ts';
import { forgetWorker, sharedCounts } from './listener/connection-counts.ts';
import { Lds } from './listener/lds.ts';
import { bindProblem, ListenError } from './listener/listen-error.ts';
import type { ListenerConfig } from './listener/listener-config.ts';
import { ListenerManager } from './listener/listener-manager.ts';
import { parseListener } from './listener/parse-listener.ts';
import { applicationLogFormat } from './observe/application-log.ts';
import { logRuntime, logRuntimeReady, logSections, warnOfConnections } from './observe/start-log.ts';
import {
  Operator,
  type OperatorConfig,
  type ProcessFacts,
  parseOperatorConfig,
  unnamedProcess,
} from './operator.ts';
import { parseMaxConnections } from './overload.ts';
import { describedNode, namedNode } from './own-node.ts';
import { FileSecrets } from './secrets/file-secrets.ts';
import { parseSecrets, type SecretsConfig, secretFiles } from './secrets/secrets-config.ts';
import { Cds } from './upstream/cds.ts';
import { ClusterManager } from './upstream/cluster-manager.ts';
import type { ClusterSource } from './upstream/managed-cluster.ts';
import { parseClusterSource } from './upstream/parse-cluster-source.ts';
import { type AskedResolvers, parseResolvers } from './upstream/parse-resolvers.ts';
import { WorkerPool } from './worker-pool.ts';
import type { FromWorker, ToWorker } from './worker-protocol.ts';
import type { Thread } from './worker-thread.ts';

const mainLog = logger('main');
const upstreamLog = logger('upstream');
const configLog = logger('config');

export interface ServerOptions {
  /** Number of worker threads, or one worker in this thread. */
  readonly workers: number | 'inline';
  /** URLs of modules that export `extensions`; every thread imports them. */
  readonly extensionModules: readonly string[];
  /** Threads that were started beforehand, for the first workers. */
  readonly threads?: readonly Thread[];
  /** Default: 10 s or 64 KB. */
  readonly logFlush?: FlushOptions;
  /** Default: no name, no options. */
  readonly process?: ProcessFacts;
  /** How discovery files are read, as the command line says. */
  readonly loadOptions?: LoadOptions;
  /** How worker threads write the proxy's own log. Default: as a thread does unconfigured. */
  readonly logs?: LogSettings;
}

/** Everything the bootstrap says, as plain data. */
export interface ServerConfig {
  readonly listeners: readonly ListenerConfig[];
  readonly clusters: readonly ClusterSource[];
  readonly dynamic: DynamicResourcesConfig;
  readonly resolvers: AskedResolvers;
  readonly operator: OperatorConfig;
  readonly secrets: SecretsConfig;
  /** Downstream connections, -1: any number. */
  readonly maxConnections: number;
  /** `application_log_config`, as `--log-format` takes it. */
  readonly logFormat: string | undefined;
}

/** Parses without starting anything: `--mode validate`. Problems go to `problems`. */
export function parseBootstrap(
  bootstrap: Bootstrap,
  registry: Registry,
  problems: ConfigError[],
): ServerConfig {
  const root = new ParseContext('', problems);
  checkBootstrapFields(bootstrap, root);
  const at = root.field('static_resources');
  const resolvers = parseResolvers(bootstrap, root);
  const clusters = (bootstrap.static_resources?.clusters ?? []).map((message, i) =>
    parseClusterSource(message, at.field('clusters', i), registry, resolvers),
  );
  const listeners = (bootstrap.static_resources?.listeners ?? []).map((message, i) =>
    parseListener(message, at.field('listeners', i), registry),
  );
  return {
    listeners,
    clusters,
    resolvers,
    dynamic: parseDynamicResources(bootstrap.dynamic_resources, root.field('dynamic_resources')),
    operator: parseOperatorConfig(bootstrap, root, registry),
    secrets: parseSecrets(bootstrap.static_resources, at),
    maxConnections: parseMaxConnections(bootstrap.overload_manager, root.field('overload_manager')),
    logFormat: applicationLogFormat(bootstrap, root),
  };
}

/** `disabled`: by category and name, as `--disable-extensions` has them. */
export async function loadRegistry(
  extensionModules: readonly string[],
  disabled: readonly string[] = [],
): Promise<Registry> {
  const modules = await Promise.all(
    extensionModules.map((url) => import(url) as Promise<{ readonly extensions: readonly Extension[] }>),
  );
  const all: Extension[] = [...coreExtensions, ...modules.flatMap((it) => it.extensions)];
  return new Registry(withoutDisabled(all, disabled), readMessageFile);
}

/** Somebody who waits for a message of a worker, or for its death. */
interface Waiter {
  readonly worker: number;
  readonly types: readonly FromWorker['type'][];
  readonly resolve: (message: FromWorker | undefined) => void;
}

export class Server {
  readonly config: ServerConfig;
  readonly operator: Operator;
  readonly #clusters: ClusterManager;
  readonly #secrets: FileSecrets;
  readonly #dnsCaches: DnsCaches;
  readonly #routes: RouteConfigs;
  readonly #cds: Cds | undefined;
  readonly #pool: WorkerPool;
  readonly #listeners: ListenerManager;
  readonly #lds: Lds | undefined;
  readonly #addListeners: () => void;
  /** Open connections of all listeners. */
  readonly #connections: SharedArrayBuffer;
  readonly #waiters = new Set<Waiter>();
  /** When each worker was started. */
  readonly #startedMs: number[] = [];
  #isClosing = false;

  private constructor(
    config: ServerConfig,
    bootstrap: Bootstrap,
    registry: Registry,
    options: ServerOptions,
  ) {
    this.config = config;
    const ownAddress = localAddress();
    const facts = options.process ?? unnamedProcess;
    const described = describedNode(bootstrap, registry, facts.version);
    const node = namedNode(described, facts.commandLineOptions);
    const logFlush = options.logFlush ?? { intervalMs: 10_000, minBytes: 65_536 };
    const workers = options.workers === 'inline' ? 1 : options.workers;
    this.#connections = sharedCounts(workers);
    this.#pool = new WorkerPool(
      options.extensionModules,
      {
        connections: this.#connections,
        maxConnections: config.maxConnections,
        nodeId: node.id,
        nodeCluster: node.cluster,
        node,
        localAddress: ownAddress,
        logFlush,
        statsMatcher: config.operator.stats.matcher,
        logs: options.logs,
      },
      (index, message) => {
        this.operator.receive(index, message);
        if (message.type === 'dns_load') this.#dnsCaches.get(message.cache)?.load(message.name);
        if (message.type === 'dns_use') this.#dnsCaches.get(message.cache)?.touch(message.name);
        if (message.type === 'immediate_fail') this.#clusters.failPassively(message.cluster, message.key);
        if (message.type === 'own_hosts') this.#clusters.setOwnHosts(index, message.cluster, message.hosts);
        this.#listeners.receive(index, message);
        this.#receive(index, message);
      },
      (index, error, isExpected) => {
        this.operator.workerGone(index);
        this.#workerGone(index);
        this.#clusters.forgetWorker(index);
        this.#dnsCaches.forgetWorker(index);
        this.#listeners.workerGone(index);
        forgetWorker(this.#connections, index);
        if (isExpected) return;
        mainLog.critical(`worker ${index} died and is replaced: ${error?.stack ?? 'no reason given'}`);
        // One that dies as soon as it starts must not keep the machine busy.
        const livedMs = performance.now() - (this.#startedMs[index] ?? 0);
        setTimeout(() => void this.#replace(index), livedMs < 1000 ? 250 : 0);
      },
    );
    this.operator = new Operator(
      config.operator,
      {
        bootstrap: { ...bootstrap, node: described },
        node,
        listeners: () => this.#listeners,
        lds: () => this.#lds,
        clusters: () => this.#clusters.clusters,
        warmingClusters: () => this.#clusters.warming,
        cds: () => this.#cds,
        routes: () => this.#routes,
        secrets: () => this.#secrets,
        refreshStats: () => this.#clusters.refreshStats(),
        localAddress: ownAddress,
        logFlush,
      },
      facts,
      registry,
      this.#pool,
    );
    const { root } = this.operator.store;
    const post = (message: ToWorker) => this.#pool.postAll(message);
    const context: FileSourceContext = {
      options: options.loadOptions ?? {},
      unknownFields: root.scope('server').counter('dynamic_unknown_fields'),
      proxy: () => ({
        bootstrap: bootstrap as unknown as Message,
        clusters: this.#clusters.clusters.map((it) => it.source.message as unknown as Message),
      }),
    };
    this.#secrets = new FileSecrets(config.secrets.files, root, context, (key, secret) => {
      this.operator.secrets.set(key, secret);
      this.#pool.postAll({ type: 'secret', key, secret });
      this.operator.certificatesChanged();
    });
    for (const { key, secret } of config.secrets.fixed) this.operator.secrets.set(key, secret);
    this.#dnsCaches = new DnsCaches(workers, root, systemClock, config.resolvers, post);
    this.#routes = new RouteConfigs(registry, root, context, post);
    this.#clusters = new ClusterManager(config.clusters, registry, root, {
      workers,
      resolvers: config.resolvers,
      clock: systemClock,
      files: context,
      runtime: this.operator.runtimeValues,
      services: this.operator.services,
      dnsCaches: this.#dnsCaches,
      post,
      needs: (message) => this.#needSecrets(message),
    });
    this.#listeners = new ListenerManager(this.#pool, registry, root, {
      workers,
      drainTimeMs: facts.drainTimeMs,
      drainsImmediately: facts.drainsImmediately,
      needs: (listener, message) => {
        this.#dnsCaches.need(message);
        return [...this.#needSecrets(message), ...this.#routes.follow(listener)];
      },
    });
    const { dynamic } = config;
    this.#cds = dynamic.cds && new Cds(dynamic.cds, this.#clusters, root, context);
    this.#lds = dynamic.lds && new Lds(dynamic.lds, this.#listeners, root, context);
    const messages = bootstrap.static_resources?.listeners ?? [];
    this.#addListeners = () => {
      for (const [i, it] of config.listeners.entries()) this.#listeners.addStatic(messages[i]!, it);
    };
  }

  #needSecrets(message: object): Promise<void>[] {
    return secretFiles(message).map((it) => this.#secrets.follow(it));
  }

  /** Rejects with `ListenError` when a listener cannot be bound. `problems` that refuse are the caller's to look at first. */
  static async start(
    bootstrap: Bootstrap,
    registry: Registry,
    config: ServerConfig,
    options: ServerOptions,
  ): Promise<Server> {
    const server = new Server(config, bootstrap, registry, options);
    try {
      await server.#start(bootstrap, registry, options);
    } catch (error) {
      await server.close();
      throw error;
    }
    return server;
  }

  async #start(bootstrap: Bootstrap, registry: Registry, options: ServerOptions): Promise<void> {
    const { config } = this;
    // Threads come up while the rest is made ready.
    const ready: Promise<FromWorker | undefined>[] = [];
    if (options.workers !== 'inline') {
      for (let i = 0; i < options.workers; i++) ready.push(this.#startThread(i, options.threads?.[i]));
    }
    logRuntime(bootstrap);
    await this.operator.start().catch((error: NodeJS.ErrnoException) => {
      const { address = { address: '', port: 0 } } = config.operator.admin ?? {};
      throw new ListenError(bindProblem(address.address, address.port, error.code ?? '', error.message));
    });
    logSections(bootstrap);
    await this.#secrets.start();
    this.#dnsCaches.start();
    await this.#clusters.warm();
    if (this.#cds !== undefined) {
      upstreamLog.info('cm init: initializing cds');
      await this.#cds.start();
      await this.#clusters.warm();
    }
    this.#clusters.initialized();
    // What scripts wait for in the log, in Envoy's words.
    logRuntimeReady();
    upstreamLog.info('cm init: all clusters initialized');
    warnOfConnections(config.maxConnections, this.operator.runtime.values());
    mainLog.info('all clusters initialized. initializing init manager');
    this.#addListeners();
    await this.#lds?.start();
    await this.#listeners.untilReady();
    configLog.info('all dependencies initialized. starting workers');
    if (options.workers === 'inline') {
      const core = new Set<Extension>(coreExtensions);
      await this.#pool.startInline(registry.all.filter((it) => !core.has(it)));
      await this.#load(0);
    } else {
      // The first one finds out whether the addresses can be had, and which port a port 0 becomes.
      for (let i = 0; i < options.workers; i++) {
        if ((await ready[i]) === undefined) throw new Error(`worker ${i} does not start`);
        await this.#load(i);
      }
    }
    this.#listeners.started();
    this.operator.initialized();
  }

  /** The port of a listener's first address, as bound. */
  port(listener: string): number {
    return this.#listeners.byName(listener)?.sockets?.ports?.[0] ?? 0;
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    await this.operator.close();
    this.#clusters.close();
    this.#cds?.close();
    this.#routes.close();
    this.#dnsCaches.close();
    this.#secrets.close();
    this.#pool.closing();
    const closed = this.#pool.running().map((index) => {
      const answer = this.#next(index, 'closed');
      this.#pool.post(index, { type: 'shutdown' });
      return answer;
    });
    await Promise.all(closed);
    this.#lds?.close();
    this.#listeners.close();
    this.#pool.terminate();
  }

  #startThread(index: number, thread?: Thread): Promise<FromWorker | undefined> {
    this.#startedMs[index] = performance.now();
    this.#pool.startThread(index, thread);
    return this.#next(index, 'ready');
  }

  async #replace(index: number): Promise<void> {
    if (this.#isClosing) return;
    if ((await this.#startThread(index)) !== undefined) await this.#load(index);
  }

  async #load(index: number): Promise<void> {
    this.operator.prime(index);
    for (const { key, secret } of this.config.secrets.fixed)
      this.#pool.post(index, { type: 'secret', key, secret });
    for (const [key, secret] of this.#secrets.current())
      this.#pool.post(index, { type: 'secret', key, secret });
    for (const chunk of this.#clusters.usage) this.#pool.post(index, { type: 'usage', chunk });
    for (const it of this.#dnsCaches.known()) this.#pool.post(index, it);
    for (const it of this.#routes.current()) this.#pool.post(index, it);
    this.#pool.post(index, { type: 'clusters', clusters: this.#clusters.clusters.map((it) => it.data) });
    await this.#listeners.load(index);
  }

  /** The next message of one of the types; undefined when the worker dies before. */
  #next(worker: number, ...types: readonly FromWorker['type'][]): Promise<FromWorker | undefined> {
    return new Promise((resolve) => this.#waiters.add({ worker, types, resolve }));
  }

  #receive(worker: number, message: FromWorker): void {
    for (const waiter of this.#waiters) {
      if (waiter.worker !== worker || !waiter.types.includes(message.type)) continue;
      this.#waiters.delete(waiter);
      waiter.resolve(message);
      return;
    }
  }

  #workerGone(worker: number): void {
    for (const waiter of this.#waiters) {
      if (waiter.worker !== worker) continue;
      this.#waiters.delete(waiter);
      waiter.resolve(undefined);
    }
  }
}

/** What Envoy puts into x-forwarded-for instead of a loopback peer. */
function localAddress(): string {
  for (const addresses of Object.values(networkInterfaces())) {
    for (const it of addresses ?? []) if (!it.internal && it.family === 'IPv4') return it.address;
  }
  return '127.0.0.1';
}
