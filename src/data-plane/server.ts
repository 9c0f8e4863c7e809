// The main thread of a proxy: parses the bootstrap into plain data, starts the workers, and owns what exists once.
import { networkInterfaces } from 'node:os';
import { addressText } from '#base/address-text.ts';
import { systemClock } from '#base/clock.ts';
import { type LogSettings, logger } from '#base/logger.ts';
import type { ConfigError } from '#config/config-error.ts';
import { readMessageFile } from '#config/message-file.ts';
import { ParseContext } from '#config/parse-context.ts';
import type { FlushOptions } from '#extension/access-log-files.ts';
import { type Extension, Registry } from '#extension/registry.ts';
import type { UpstreamTransportExtension } from '#extension/transport-socket.ts';
import { hasNativeSockets, nativeSockets } from '#net/native-sockets.ts';
import type { Bootstrap } from '#schema/messages/envoy/config/bootstrap/v3.ts';
import { checkBootstrapFields } from './bootstrap-fields.ts';
import { coreExtensions } from './core-extensions.ts';
import { DnsCache } from './dynamic-forward-proxy/dns-cache.ts';
import { type DnsCacheConfig, parseDnsCaches } from './dynamic-forward-proxy/dns-cache-config.ts';
import { forgetWorker, sharedCounts } from './listener/connection-counts.ts';
import type { ListenerAddress, ListenerConfig } from './listener/listener-config.ts';
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
import { ownNode } from './own-node.ts';
import { FileSecrets } from './secrets/file-secrets.ts';
import { parseSecrets, type SecretsConfig } from './secrets/secrets-config.ts';
import { ClusterManager, type StaticCluster } from './upstream/cluster-manager.ts';
import { parseCluster } from './upstream/parse-cluster.ts';
import { parseDiscovery } from './upstream/parse-discovery.ts';
import { WorkerPool } from './worker-pool.ts';
import type { FromWorker } from './worker-protocol.ts';
import type { Thread } from './worker-thread.ts';

const mainLog = logger('main');
const upstreamLog = logger('upstream');
const configLog = logger('config');
const connectionLog = logger('connection');

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
  /** How worker threads write the proxy's own log. Default: as a thread does unconfigured. */
  readonly logs?: LogSettings;
}

/** Everything the bootstrap says, as plain data. */
export interface ServerConfig {
  readonly listeners: readonly ListenerConfig[];
  readonly clusters: readonly StaticCluster[];
  readonly operator: OperatorConfig;
  readonly secrets: SecretsConfig;
  readonly dnsCaches: readonly DnsCacheConfig[];
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
  const clusters = (bootstrap.static_resources?.clusters ?? []).map((message, i) => {
    const here = at.field('clusters', i);
    return {
      config: parseCluster(message, here, registry),
      discovery: parseDiscovery(message, here),
    };
  });
  const listeners = (bootstrap.static_resources?.listeners ?? []).map((message, i) =>
    parseListener(message, at.field('listeners', i), registry),
  );
  return {
    listeners,
    clusters,
    operator: parseOperatorConfig(bootstrap, root, registry),
    secrets: parseSecrets(bootstrap.static_resources, at),
    dnsCaches: parseDnsCaches(bootstrap.static_resources),
    maxConnections: parseMaxConnections(bootstrap.overload_manager, root.field('overload_manager')),
    logFormat: applicationLogFormat(bootstrap, root),
  };
}

export async function loadRegistry(extensionModules: readonly string[]): Promise<Registry> {
  const modules = await Promise.all(
    extensionModules.map((url) => import(url) as Promise<{ readonly extensions: readonly Extension[] }>),
  );
  return new Registry([...coreExtensions, ...modules.flatMap((it) => it.extensions)], readMessageFile);
}

/** In the words of the C library, which Envoy prints. */
const listenErrors: Readonly<Record<string, string>> = {
  EADDRINUSE: 'Address already in use',
  EADDRNOTAVAIL: 'Cannot assign requested address',
  EACCES: 'Permission denied',
  EAFNOSUPPORT: 'Address family not supported by protocol',
  EINVAL: 'Invalid argument',
  ENOENT: 'No such file or directory',
  ENOPROTOOPT: 'Protocol not available',
  ENOTDIR: 'Not a directory',
  EOPNOTSUPP: 'Operation not supported',
  EPERM: 'Operation not permitted',
  EROFS: 'Read-only file system',
};

function listenProblem(
  { name }: ListenerConfig,
  { address, code, message, socketOption }: FromWorker & { readonly type: 'listen_failed' },
): string {
  const reason = listenErrors[code] ?? message;
  if (socketOption === undefined)
    return `cannot bind '${addressText(address.address, address.port)}': ${reason}`;
  connectionLog.warn(`Setting ${socketOption.label} option on socket failed: ${reason}`);
  return `${socketOption.isBound ? name : 'ListenSocket'}: Setting socket options failed`;
}

/** A listener could not be bound. */
export class ListenError extends Error {
  override readonly name = 'ListenError';
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
  readonly #dnsCaches = new Map<string, DnsCache>();
  readonly #pool: WorkerPool;
  readonly #ports = new Map<string, readonly number[]>();
  /** Our own copies of what the first worker has bound and the others listen on, by listener. */
  readonly #descriptors = new Map<string, readonly number[]>();
  /** Open connections of all listeners, and by listener. */
  readonly #connections: SharedArrayBuffer;
  readonly #connectionsOf = new Map<string, SharedArrayBuffer>();
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
    const node = ownNode(bootstrap, registry, facts.version);
    const logFlush = options.logFlush ?? { intervalMs: 10_000, minBytes: 65_536 };
    const workers = options.workers === 'inline' ? 1 : options.workers;
    this.#connections = sharedCounts(workers);
    for (const { name } of config.listeners) this.#connectionsOf.set(name, sharedCounts(workers));
    this.#pool = new WorkerPool(
      options.extensionModules,
      {
        connections: this.#connections,
        maxConnections: config.maxConnections,
        nodeId: bootstrap.node?.id ?? '',
        nodeCluster: bootstrap.node?.cluster ?? '',
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
        if (message.type === 'own_hosts') this.#clusters.setOwnHosts(index, message.cluster, message.hosts);
        this.#receive(index, message);
      },
      (index, error, isExpected) => {
        this.operator.workerGone(index);
        this.#workerGone(index);
        this.#clusters.forgetWorker(index);
        for (const it of this.#dnsCaches.values()) it.forgetWorker(index);
        for (const it of [this.#connections, ...this.#connectionsOf.values()]) forgetWorker(it, index);
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
        bootstrap,
        node,
        listeners: config.listeners,
        clusters: () => this.#clusters.clusters,
        refreshStats: () => this.#clusters.refreshStats(),
        localAddress: ownAddress,
        logFlush,
        ports: (listener) => this.#ports.get(listener),
        onStopped: (listener) => this.#closeDescriptors(listener),
      },
      facts,
      registry,
      this.#pool,
    );
    this.#secrets = new FileSecrets(config.secrets.files, (key, secret) =>
      this.#pool.postAll({ type: 'secret', key, secret }),
    );
    const { root } = this.operator.store;
    for (const it of config.dnsCaches) {
      const cache = new DnsCache(it, workers, root, systemClock);
      cache.listen((name, host) => this.#pool.postAll({ type: 'dns_host', cache: it.name, name, host }));
      this.#dnsCaches.set(it.name, cache);
    }
    this.#clusters = new ClusterManager(
      config.clusters,
      workers,
      root,
      systemClock,
      (message) => this.#pool.postAll(message),
      this.#dnsCaches,
    );
    for (const { statName, transportSocket } of config.clusters.map((it) => it.config)) {
      registry
        .byName<UpstreamTransportExtension>('upstream_transport_socket', transportSocket.extension)
        ?.declare?.(root.scope(`cluster.${statName}`));
    }
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
      const reason = listenErrors[error.code ?? ''] ?? error.message;
      throw new ListenError(`cannot bind '${addressText(address.address, address.port)}': ${reason}`);
    });
    logSections(bootstrap);
    await this.#secrets.start();
    for (const it of this.#dnsCaches.values()) it.start();
    await this.#clusters.warm();
    // What scripts wait for in the log, in Envoy's words.
    logRuntimeReady();
    upstreamLog.info('cm init: all clusters initialized');
    warnOfConnections(config.maxConnections, this.operator.runtime.values());
    mainLog.info('all clusters initialized. initializing init manager');
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
    this.operator.initialized();
  }

  /** The port of a listener's first address, as bound. */
  port(listener: string): number {
    return this.#ports.get(listener)?.[0] ?? 0;
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    await this.operator.close();
    this.#clusters.close();
    for (const it of this.#dnsCaches.values()) it.close();
    this.#secrets.close();
    this.#pool.closing();
    const closed = this.#pool.running().map((index) => {
      const answer = this.#next(index, 'closed');
      this.#pool.post(index, { type: 'shutdown' });
      return answer;
    });
    await Promise.all(closed);
    for (const listener of [...this.#descriptors.keys()]) this.#closeDescriptors(listener);
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
    for (const cache of this.#dnsCaches.values()) {
      const { config, counts } = cache;
      this.#pool.post(index, { type: 'dns_cache', config, counts });
      for (const host of cache.known())
        this.#pool.post(index, { type: 'dns_host', cache: config.name, name: host.name, host });
    }
    for (const { config, hosts, slot } of this.#clusters.clusters)
      this.#pool.post(index, { type: 'cluster', config, hosts, slot });
    for (const config of this.config.listeners) {
      const ports = this.#ports.get(config.name);
      const addresses: readonly ListenerAddress[] =
        ports === undefined
          ? config.addresses
          : config.addresses.map((it, i) => ({ ...it, port: ports[i] ?? it.port }));
      const descriptors = this.#descriptors.get(config.name) ?? [];
      if (index > 0 && !isShared(config) && descriptors.length === 0) continue;
      const answer = this.#next(index, 'listening', 'listen_failed');
      const connections = this.#connectionsOf.get(config.name)!;
      this.#pool.post(index, { type: 'listener', config, addresses, descriptors, connections });
      const message = await answer;
      if (message?.type === 'listen_failed') {
        const problem = listenProblem(config, message);
        configLog.error(`listener '${config.name}' failed to bind or apply socket options: ${problem}`);
        throw new ListenError(problem);
      }
      if (message?.type !== 'listening') continue;
      this.#ports.set(config.name, message.ports);
      if (descriptors.length === 0 && !isShared(config) && this.#pool.size > 1)
        this.#keepDescriptors(message);
    }
  }

  /** The others listen on the same sockets, and so does a worker that takes the first one's place. */
  #keepDescriptors({ listener, descriptors }: FromWorker & { readonly type: 'listening' }): void {
    if (!hasNativeSockets()) return;
    this.#descriptors.set(
      listener,
      descriptors.map((it) => nativeSockets().duplicate(it)),
    );
  }

  #closeDescriptors(listener: string): void {
    for (const it of this.#descriptors.get(listener) ?? []) nativeSockets().close(it);
    this.#descriptors.delete(listener);
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

/** Every worker has a socket of its own for the address. Otherwise they share that of the first one. */
function isShared(config: ListenerConfig): boolean {
  return config.reusePort && config.addresses.every((it) => it.port >= 0);
}

/** What Envoy puts into x-forwarded-for instead of a loopback peer. */
function localAddress(): string {
  for (const addresses of Object.values(networkInterfaces())) {
    for (const it of addresses ?? []) if (!it.internal && it.family === 'IPv4') return it.address;
  }
  return '127.0.0.1';
}
