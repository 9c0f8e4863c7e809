// The DNS caches that configurations have named so far. One that is not named any more stays.
import type { Clock } from '#base/clock.ts';
import { collectTakings } from '#base/takings.ts';
import type { Scope } from '#stats/store.ts';
import type { AskedResolvers } from '../upstream/parse-resolvers.ts';
import type { ToWorker } from '../worker-protocol.ts';
import { DnsCache } from './dns-cache.ts';
import { parseDnsCaches } from './dns-cache-config.ts';

export class DnsCaches {
  readonly #caches = new Map<string, DnsCache>();
  readonly #workers: number;
  readonly #root: Scope;
  readonly #clock: Clock;
  readonly #resolvers: AskedResolvers;
  readonly #post: (message: ToWorker) => void;
  #isStarted = false;

  /** `resolvers`: those of the bootstrap. */
  constructor(
    workers: number,
    root: Scope,
    clock: Clock,
    resolvers: AskedResolvers,
    post: (message: ToWorker) => void,
  ) {
    this.#workers = workers;
    this.#root = root;
    this.#clock = clock;
    this.#resolvers = resolvers;
    this.#post = post;
  }

  get(name: string): DnsCache | undefined {
    return this.#caches.get(name);
  }

  /** Those that a listener, a cluster or more of them name: before workers hear of these. */
  need(config: unknown): void {
    for (const it of parseDnsCaches(config, this.#resolvers)) {
      if (this.#caches.has(it.name)) continue;
      // Not a taking of whoever needs it first.
      const { value: cache } = collectTakings(() => {
        const made = new DnsCache(it, this.#workers, this.#root, this.#clock);
        made.listen((name, host) => this.#post({ type: 'dns_host', cache: it.name, name, host }));
        return made;
      });
      this.#caches.set(it.name, cache);
      this.#post({ type: 'dns_cache', config: cache.config, counts: cache.counts });
      if (this.#isStarted) cache.start();
    }
  }

  start(): void {
    this.#isStarted = true;
    for (const it of this.#caches.values()) it.start();
  }

  /** What a worker has to know of them. */
  *known(): Iterable<ToWorker> {
    for (const cache of this.#caches.values()) {
      const { config, counts } = cache;
      yield { type: 'dns_cache', config, counts };
      for (const host of cache.known()) yield { type: 'dns_host', cache: config.name, name: host.name, host };
    }
  }

  forgetWorker(worker: number): void {
    for (const it of this.#caches.values()) it.forgetWorker(worker);
  }

  close(): void {
    for (const it of this.#caches.values()) it.close();
  }
}
