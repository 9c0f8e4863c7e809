// The listeners on the main thread: those that are active, those that wait for what they need, those that drain. What becomes of them is
// decided here at once; the workers are told one thing after the other, each when the one before is done.
import type { DrainOptions } from '#admin/owners.ts';
import { logger } from '#base/logger.ts';
import { collectTakings } from '#base/takings.ts';
import type { ConfigError } from '#config/config-error.ts';
import { ParseContext } from '#config/parse-context.ts';
import type { Registry } from '#extension/registry.ts';
import { probeAddress } from '#net/listening-socket.ts';
import { hasNativeSockets, nativeSockets, SocketOptionError } from '#net/native-sockets.ts';
import type { Listener } from '#schema/messages/envoy/config/listener/v3.ts';
import type { Scope } from '#stats/store.ts';
import { ListenerManagerStats } from '../observe/server-stats.ts';
import type { WorkerPool } from '../worker-pool.ts';
import type { FromWorker, ToWorker } from '../worker-protocol.ts';
import { forgetWorker, sharedCounts } from './connection-counts.ts';
import { ListenError, listenProblem } from './listen-error.ts';
import type { ListenerAddress, ListenerConfig } from './listener-config.ts';
import { ListenerSockets, ManagedListener } from './managed-listener.ts';
import { parseListener } from './parse-listener.ts';

const log = logger('config');

export interface ListenerManagerOptions {
  readonly workers: number;
  /** How long connections of what is replaced or removed may go on. */
  readonly drainTimeMs: number;
  /** `--drain-strategy immediate` */
  readonly drainsImmediately: boolean;
  /** What a listener has to wait for before it may accept. What is taken for it is given back when it goes. */
  needs(config: ListenerConfig, message: Listener): readonly Promise<unknown>[];
}

/** What became of a listener that was sent. */
export type UpdateOutcome = 'applied' | 'unchanged' | { readonly refused: string };

/** Why a listener is not as it was sent last. */
export interface ListenerError {
  readonly message: Listener;
  readonly details: string;
  readonly atMs: number;
}

export class ListenerManager {
  readonly #pool: WorkerPool;
  readonly #registry: Registry;
  readonly #options: ListenerManagerOptions;
  readonly #stats: ListenerManagerStats;
  /** In the order in which they were added. */
  readonly #active: ManagedListener[] = [];
  readonly #warming: ManagedListener[] = [];
  /** The latest first. */
  readonly #draining: ManagedListener[] = [];
  /** Of the last update, by name. */
  readonly #errors = new Map<string, ListenerError>();
  #nextTag = 1;
  #nextChainUpdate = 1;
  /** Workers that were told of everything, and those that once were. */
  readonly #loaded = new Set<number>();
  readonly #seen = new Set<number>();
  #areWorkersStarted = false;
  /** `all`, `inbound`: POST /drain_listeners has ended them. */
  #stopped: 'none' | 'inbound' | 'all' = 'none';
  #work: Promise<unknown> = Promise.resolve();
  /** Who waits for a worker to bind, by worker and tag. */
  readonly #binding = new Map<string, (answer: BindAnswer | undefined) => void>();
  readonly #timers = new Set<NodeJS.Timeout>();
  /** What the start waits for. */
  readonly #initial: Promise<unknown>[] = [];

  constructor(pool: WorkerPool, registry: Registry, root: Scope, options: ListenerManagerOptions) {
    this.#pool = pool;
    this.#registry = registry;
    this.#options = options;
    this.#stats = root.scope('listener_manager').stats(ListenerManagerStats);
  }

  /** Accept connections, or will when the workers start. */
  get active(): readonly ManagedListener[] {
    return this.#active;
  }

  get warming(): readonly ManagedListener[] {
    return this.#warming;
  }

  get draining(): readonly ManagedListener[] {
    return this.#draining;
  }

  get errors(): ReadonlyMap<string, ListenerError> {
    return this.#errors;
  }

  get areWorkersStarted(): boolean {
    return this.#areWorkersStarted;
  }

  byName(name: string): ManagedListener | undefined {
    return this.#active.find((it) => it.name === name);
  }

  // What is to be ------------------------------------------------------------------------------------------------------------

  /** Of the bootstrap. Envoy never builds the second of two with one name. */
  addStatic(message: Listener, config: ListenerConfig): void {
    if (this.byName(config.name) !== undefined) return;
    const listener = this.#create(message, config, true, '');
    this.#active.push(listener);
    this.#stats.listenerAdded.value++;
    this.#need(listener);
    this.#count();
  }

  /** Errors are those of the last update. */
  beginUpdate(): void {
    this.#errors.clear();
  }

  /** `problems`: what is known to be wrong with it. What else is wrong is added to those of `at`. */
  addOrUpdate(
    message: Listener,
    version: string,
    problems: readonly ConfigError[],
    at: ParseContext,
  ): UpdateOutcome {
    const { name } = message;
    if (this.#stopped === 'all' || (this.#stopped === 'inbound' && message.traffic_direction === 'INBOUND'))
      return 'unchanged';
    const active = this.byName(name);
    const warming = this.#warming.find((it) => it.name === name);
    if (active?.isStatic === true || warming?.isMadeFrom(message)) return 'unchanged';
    if (active?.isMadeFrom(message)) {
      if (warming === undefined) return 'unchanged';
      // Back to what it is.
      this.#forget(warming);
      this.#stats.listenerModified.value++;
      return 'applied';
    }
    const known = problems.find((it) => it.severity === 'error');
    if (known !== undefined) return this.#refuse(message, known.envoy ?? known.message);
    const found: ConfigError[] = [];
    const config = parseListener(message, new ParseContext(at.path, found), this.#registry);
    at.problems.push(...found);
    const problem = found.find((it) => it.severity === 'error');
    if (problem !== undefined) return this.#refuse(message, problem.envoy ?? problem.message);

    const isInPlace =
      this.#areWorkersStarted &&
      warming === undefined &&
      active?.sockets !== undefined &&
      active.differsInChainsOnly(message);
    let listener: ManagedListener;
    if (isInPlace) {
      // With the version that it began with, as Envoy has it.
      listener = new ManagedListener(active.tag, message, config, false, active.version, active.sockets!);
      listener.connections = active.connections;
      this.#stats.listenerInPlaceUpdated.value++;
    } else {
      listener = this.#create(message, config, false, version);
      const refusal = this.#findSockets(listener, warming ?? active, active);
      if (refusal !== undefined) return this.#refuse(message, refusal);
    }
    if (warming !== undefined) this.#forget(warming);
    if (active === undefined && warming === undefined) this.#stats.listenerAdded.value++;
    else this.#stats.listenerModified.value++;
    if (this.#areWorkersStarted) {
      this.#warming.push(listener);
      const needs = this.#need(listener);
      if (needs.length === 0) this.#activate(listener);
      else void Promise.all(needs).then(() => this.#activate(listener));
    } else {
      if (active === undefined) this.#active.push(listener);
      else this.#active[this.#active.indexOf(active)] = listener;
      active?.release();
      this.#need(listener);
    }
    this.#count();
    return 'applied';
  }

  /** False: there is none that may be removed. */
  remove(name: string): boolean {
    const active = this.#active.find((it) => it.name === name && !it.isStatic);
    const warming = this.#warming.find((it) => it.name === name);
    if (warming === undefined && active === undefined) return false;
    if (warming !== undefined) this.#forget(warming);
    if (active !== undefined) {
      this.#active.splice(this.#active.indexOf(active), 1);
      if (this.#areWorkersStarted) this.#drain(active);
      else active.release();
    }
    this.#stats.listenerRemoved.value++;
    this.#count();
    return true;
  }

  /** POST /drain_listeners */
  drainAll({ graceful, skipExit, inboundOnly }: DrainOptions): void {
    const listeners = () =>
      this.#active.filter(({ config }) => !inboundOnly || config.trafficDirection === 'INBOUND');
    const tags = listeners().map(({ tag }) => tag);
    this.#tell({ type: 'drain', listeners: tags, drainMs: this.#drainMs });
    if (skipExit) return;
    const stop = () => {
      this.#stopped = inboundOnly && this.#stopped !== 'all' ? 'inbound' : 'all';
      for (const it of [...this.#warming])
        if (!inboundOnly || it.config.trafficDirection === 'INBOUND') this.#forget(it);
      for (const listener of listeners()) {
        if (listener.isStopped) continue;
        listener.isStopped = true;
        this.#tell({ type: 'stop_listener', tag: listener.tag });
        listener.sockets?.close();
        this.#stats.listenerStopped.value++;
      }
      this.#count();
    };
    if (graceful) this.#later(this.#options.drainTimeMs, stop);
    else stop();
  }

  // What workers are told ----------------------------------------------------------------------------------------------------

  /** Resolves when all that there is at the start has what it needs. */
  async untilReady(): Promise<void> {
    while (this.#initial.length > 0) await Promise.all(this.#initial.splice(0));
    this.#areWorkersStarted = true;
  }

  /** A worker that knows nothing yet. Rejects with `ListenError` when at the start a static listener cannot be bound. */
  load(worker: number): Promise<void> {
    return this.#next(async () => {
      for (const it of [...this.#active]) await this.#open(it, worker);
      this.#loaded.add(worker);
      this.#seen.add(worker);
    });
  }

  started(): void {
    this.#stats.workersStarted.value = 1;
  }

  receive(worker: number, message: FromWorker): void {
    if (message.type !== 'listening' && message.type !== 'listen_failed') return;
    this.#answered(`${worker} ${message.tag}`, message);
  }

  workerGone(worker: number): void {
    this.#loaded.delete(worker);
    for (const it of [...this.#active, ...this.#warming, ...this.#draining]) {
      it.workers.delete(worker);
      forgetWorker(it.connections, worker);
    }
    for (const key of [...this.#binding.keys()])
      if (key.startsWith(`${worker} `)) this.#answered(key, undefined);
  }

  close(): void {
    for (const it of this.#timers) clearTimeout(it);
    for (const it of [...this.#active, ...this.#warming, ...this.#draining]) {
      it.sockets?.close();
      it.release();
    }
  }

  #create(message: Listener, config: ListenerConfig, isStatic: boolean, version: string): ManagedListener {
    const listener = new ManagedListener(
      this.#nextTag++,
      message,
      config,
      isStatic,
      version,
      new ListenerSockets(),
    );
    listener.connections = sharedCounts(this.#options.workers);
    return listener;
  }

  #need(listener: ManagedListener): readonly Promise<unknown>[] {
    const { value, release } = collectTakings(() => this.#options.needs(listener.config, listener.message));
    listener.release = release;
    if (!this.#areWorkersStarted) this.#initial.push(...value);
    return value;
  }

  #refuse(message: Listener, details: string): UpdateOutcome {
    // What is not even looked at has no entry of its own.
    if (message.address !== undefined) this.#errors.set(message.name, { message, details, atMs: Date.now() });
    return { refused: details };
  }

  /** From the listener that it replaces, or one that drains, else its own. Returns why there can be none. */
  #findSockets(
    listener: ManagedListener,
    current: ManagedListener | undefined,
    active: ManagedListener | undefined,
  ): string | undefined {
    const { name, config } = listener;
    if (current !== undefined && current.config.reusePort !== config.reusePort)
      return `Listener ${name}: reuse port cannot be changed during an update`;
    if (current?.hasAddressesOf(listener) !== true) {
      const others = [...this.#warming, ...this.#active].filter(
        (it) => !(config.reusePort && it.name === name),
      );
      if (others.some((it) => listener.hasAddressOf(it))) {
        const problem = `error adding listener: '${name}' has duplicate address '${listener.addressesText}' as existing listener, to check if the listener has duplicated addresses with other listeners or 'enable_reuse_port' is set to 'false' for the listener`;
        log.warn(problem);
        return problem;
      }
    }
    if (!this.#areWorkersStarted) return this.#probe(listener);
    // One that never became active passes on what it was given.
    if (current !== undefined && current !== active && current.takesOver > 0) {
      if (current.hasSocketsFor(listener)) {
        listener.takesOver = current.takesOver;
        current.takesOver = 0;
        return undefined;
      }
    }
    if (active?.hasSocketsFor(listener)) {
      listener.takesOver = active.tag;
      return undefined;
    }
    const before = this.#draining.find((it) => it.hasSocketsFor(listener));
    if (before !== undefined) {
      listener.takesOver = before.tag;
      before.isTakenOver = true;
      return undefined;
    }
    const isBusy = [active, ...this.#draining].some((it) => it?.hasAddressOf(listener));
    return isBusy ? undefined : this.#probe(listener);
  }

  /** Whether the addresses can be had, as far as can be seen from here. */
  #probe({ name, config }: ManagedListener): string | undefined {
    if (!config.bindsToPort || config.udp !== undefined || !hasNativeSockets()) return undefined;
    for (const address of config.addresses) {
      if (address.port < 0) continue;
      try {
        probeAddress({ ...address, reusePort: config.reusePort });
      } catch (error) {
        const { code = '', message } = error as NodeJS.ErrnoException;
        const socketOption =
          error instanceof SocketOptionError
            ? { label: error.option.label, isBound: error.isBound }
            : undefined;
        const problem = listenProblem(name, { address, code, message, socketOption });
        log.error(`listener '${name}' failed to bind or apply socket options: ${problem}`);
        this.#stats.listenerCreateFailure.value++;
        return problem;
      }
    }
    return undefined;
  }

  /** It has what it needs: it takes the place of the one of its name. */
  #activate(listener: ManagedListener): void {
    if (!this.#warming.includes(listener)) return;
    this.#warming.splice(this.#warming.indexOf(listener), 1);
    const before = this.byName(listener.name);
    if (before === undefined) this.#active.push(listener);
    else this.#active[this.#active.indexOf(before)] = listener;
    if (before?.tag === listener.tag) this.#updateChains(before, listener);
    else {
      // One that cannot be open twice ends first.
      if (before?.tag === listener.takesOver) before.isTakenOver = true;
      const isFirst = before !== undefined && !before.config.reusePort && listener.takesOver === 0;
      if (isFirst) this.#drain(before);
      this.#tellEach((worker) => this.#open(listener, worker));
      if (before !== undefined && !isFirst) this.#drain(before);
    }
    this.#count();
  }

  #updateChains(before: ManagedListener, after: ManagedListener): void {
    const kept = before.keptChains(after.message);
    const update = { id: this.#nextChainUpdate++, ...kept, drainMs: this.#drainMs };
    const { tag, config } = after;
    this.#tellEach((worker) => {
      // One that was loaded in the meantime knows.
      if (after.workers.has(worker) || !before.workers.has(worker)) return;
      after.workers.add(worker);
      this.#pool.post(worker, { type: 'update_chains', tag, config, update });
      this.#stats.listenerCreateSuccess.value++;
    });
    const left = before.message.filter_chains.filter((_, i) => !kept.keeps.includes(i)).length;
    const count = left + (kept.keepsDefault || before.config.defaultFilterChain === undefined ? 0 : 1);
    this.#stats.totalFilterChainsDraining.value += count;
    this.#later(this.#options.drainTimeMs, () => {
      this.#tell({ type: 'remove_chains', tag, update: update.id });
      this.#stats.totalFilterChainsDraining.value -= count;
      before.release();
    });
  }

  /** It accepts no more; when the drain time is over, its connections are closed. */
  #drain(listener: ManagedListener): void {
    const { tag } = listener;
    this.#draining.unshift(listener);
    this.#stats.totalListenersDraining.value = this.#draining.length;
    this.#stop(listener);
    this.#tell({ type: 'drain', listeners: [tag], drainMs: this.#drainMs });
    this.#later(this.#options.drainTimeMs, () => {
      this.#tell({ type: 'remove_listener', tag });
      listener.sockets?.close();
      this.#draining.splice(this.#draining.indexOf(listener), 1);
      this.#stats.totalListenersDraining.value = this.#draining.length;
      listener.release();
    });
  }

  async #open(listener: ManagedListener, worker: number): Promise<void> {
    const { config, tag } = listener;
    if (listener.workers.has(worker) || listener.isStopped) return;
    const before = this.#draining.find((it) => it.tag === listener.takesOver);
    if (before?.sockets !== undefined) handOver(before, listener);
    const sockets = listener.sockets!;
    const addresses: readonly ListenerAddress[] = config.addresses.map((it, i) => ({
      ...it,
      port: sockets.ports?.[i] ?? it.port,
    }));
    const { descriptors } = sockets;
    const isTakenOver = before?.workers.has(worker) === true;
    // Without a second descriptor for it there is only the first worker's socket.
    if (!isTakenOver && listener.workers.size > 0 && !isShared(config) && descriptors.length === 0) return;
    const answer = await this.#ask(worker, {
      type: 'listener',
      tag,
      config,
      addresses,
      descriptors,
      connections: listener.connections,
      takesOver: listener.takesOver,
    });
    if (isTakenOver) this.#pool.post(worker, { type: 'stop_listener', tag: listener.takesOver });
    if (answer?.type === 'listen_failed') this.#failed(listener, listenProblem(listener.name, answer));
    if (answer?.type !== 'listening') return;
    listener.workers.add(worker);
    if (!this.#seen.has(worker) || this.#loaded.has(worker)) this.#stats.listenerCreateSuccess.value++;
    sockets.ports ??= answer.ports;
    if (descriptors.length === 0 && !isShared(config) && this.#pool.size > 1 && hasNativeSockets())
      sockets.descriptors = answer.descriptors.map((it) => nativeSockets().duplicate(it));
  }

  /** A worker cannot open it, though that seemed possible. */
  #failed(listener: ManagedListener, problem: string): void {
    const { name } = listener;
    log.error(`listener '${name}' failed to bind or apply socket options: ${problem}`);
    if (listener.isStatic && this.#stats.workersStarted.value === 0) throw new ListenError(problem);
    this.#stats.listenerCreateFailure.value++;
    if (listener.isStatic || !this.#active.includes(listener)) return;
    this.#active.splice(this.#active.indexOf(listener), 1);
    this.#tell({ type: 'remove_listener', tag: listener.tag });
    this.#stats.listenerRemoved.value++;
    listener.release();
    this.#count();
  }

  #forget(warming: ManagedListener): void {
    this.#warming.splice(this.#warming.indexOf(warming), 1);
    warming.release();
    // It was to go on with the sockets of one that drains: nobody does now.
    const before = this.#draining.find((it) => it.tag === warming.takesOver);
    if (before === undefined) return;
    before.isTakenOver = false;
    this.#stop(before);
  }

  #stop(listener: ManagedListener): void {
    const { tag } = listener;
    // Whoever takes its sockets over may come later in the same update.
    this.#tellEach((worker) => {
      if (!listener.isTakenOver) this.#pool.post(worker, { type: 'stop_listener', tag });
    });
    void this.#next(() => {
      if (listener.isTakenOver) return;
      listener.sockets?.close();
      listener.sockets = undefined;
    });
  }

  get #drainMs(): number {
    return this.#options.drainsImmediately ? 0 : this.#options.drainTimeMs;
  }

  #count(): void {
    this.#stats.totalListenersActive.value = this.#active.length;
    this.#stats.totalListenersWarming.value = this.#warming.length;
  }

  #later(delayMs: number, act: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      act();
    }, delayMs).unref();
    this.#timers.add(timer);
  }

  // One thing after the other ------------------------------------------------------------------------------------------------

  #next<T>(act: () => T | Promise<T>): Promise<T> {
    const done = this.#work.then(act);
    this.#work = done.catch(() => {});
    return done;
  }

  #tellEach(tell: (worker: number) => void | Promise<void>): void {
    void this.#next(async () => {
      for (const worker of [...this.#loaded].sort((a, b) => a - b)) await tell(worker);
    });
  }

  #tell(message: ToWorker): void {
    this.#tellEach((worker) => this.#pool.post(worker, message));
  }

  #ask(worker: number, message: ToWorker & { readonly type: 'listener' }): Promise<BindAnswer | undefined> {
    if (!this.#pool.running().includes(worker)) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      this.#binding.set(`${worker} ${message.tag}`, resolve);
      this.#pool.post(worker, message);
    });
  }

  #answered(key: string, answer: BindAnswer | undefined): void {
    this.#binding.get(key)?.(answer);
    this.#binding.delete(key);
  }
}

type BindAnswer = FromWorker & { readonly type: 'listening' | 'listen_failed' };

function handOver(from: ManagedListener, to: ManagedListener): void {
  // Into the object that is there: what an in-place update made of `to` has the same.
  to.sockets!.ports = from.sockets!.ports;
  to.sockets!.descriptors = from.sockets!.descriptors;
  from.sockets = undefined;
}

/** Every worker has a socket of its own for the address. Otherwise they share that of the first one. */
function isShared(config: ListenerConfig): boolean {
  return config.reusePort && config.addresses.every((it) => it.port >= 0);
}
