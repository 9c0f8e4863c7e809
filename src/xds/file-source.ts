// A subscription to a file: a discovery response, read at the start and whenever a file is moved into its place, or into the directory that is
// watched instead. A write in place is not noticed, as in Envoy: half of it could be read.
import { basename, dirname } from 'node:path';
import { logger } from '#base/logger.ts';
import { watchMoves } from '#base/watch-moves.ts';
import { latin1OfUtf8 } from '#base/utf8.ts';
import { xxHash64Of } from '#base/xxhash64.ts';
import type { ConfigError } from '#config/config-error.ts';
import { formatProblems } from '#config/format-problems.ts';
import { type LoadedResponse, loadDiscoveryFile, type RunningProxy } from '#config/load.ts';
import type { LoadOptions } from '#config/load-options.ts';
import { locate } from '#config/locate.ts';
import type { Counter } from '#stats/metric.ts';
import { hashValue } from '#stats/numbers.ts';
import { type DiscoveredResource, decodeResources } from './decode-resources.ts';
import type { SubscriptionStats } from './subscription-stats.ts';

const log = logger('config');

/** `path_config_source`, or the deprecated `path`. */
export interface FileSourceConfig {
  readonly path: string;
  /** `watched_directory`; empty: only the file itself is watched. */
  readonly watchedDirectory: string;
}

/** Who wants the resources of a subscription. */
export interface SubscriptionOwner {
  /** Full name of the resources' message. */
  readonly type: string;
  /** Everything that there is now. Returns why it is not taken, in Envoy's words. */
  onUpdate(resources: readonly DiscoveredResource[], version: string): string | undefined;
  /** Nothing could be read, or it was refused as a whole: what was there stays. */
  onUpdateFailed(): void;
}

/** What reading depends on. */
export interface FileSourceContext {
  readonly options: LoadOptions;
  /** `server.dynamic_unknown_fields`: files that have some. */
  readonly unknownFields: Counter;
  proxy(): RunningProxy;
}

export class FileSubscription {
  readonly #config: FileSourceConfig;
  readonly #owner: SubscriptionOwner;
  readonly #stats: SubscriptionStats;
  readonly #context: FileSourceContext;
  #endWatch: (() => void) | undefined = undefined;
  #work: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor(
    config: FileSourceConfig,
    owner: SubscriptionOwner,
    stats: SubscriptionStats,
    context: FileSourceContext,
  ) {
    this.#config = config;
    this.#owner = owner;
    this.#stats = stats;
    this.#context = context;
  }

  /** Resolves when the file was read for the first time. */
  start(): Promise<void> {
    const { path, watchedDirectory } = this.#config;
    const directory = watchedDirectory || dirname(path);
    try {
      this.#endWatch = watchMoves(directory, (name) => {
        if (watchedDirectory !== '' || name === basename(path)) void this.#refresh();
      });
    } catch (error) {
      log.warn(`cannot watch ${directory}: ${(error as Error).message}`);
    }
    return this.#refresh();
  }

  close(): void {
    this.#isClosed = true;
    this.#endWatch?.();
  }

  /** Each change is read, one after the other. */
  #refresh(): Promise<void> {
    this.#work = this.#work.then(async () => {
      if (this.#isClosed) return;
      this.#stats.updateAttempt.value++;
      const loaded = await loadDiscoveryFile(this.#config.path, this.#context.options, this.#context.proxy());
      if (!this.#isClosed) this.#take(loaded);
    });
    return this.#work;
  }

  #take(loaded: LoadedResponse): void {
    const stats = this.#stats;
    const problems = [...loaded.problems];
    if (problems.some((it) => it.rule === 'unknown-field')) this.#context.unknownFields.value++;
    if (!loaded.isRead) {
      const first = problems.find((it) => it.severity === 'error');
      // Unknown fields refuse a file that can be read otherwise.
      if (first?.rule === 'unknown-field') {
        log.warn(`Filesystem config update rejected: ${words(first)}`);
        stats.updateRejected.value++;
      } else {
        log.warn(`Filesystem config update failure: in ${this.#config.path}, ${words(first)}`);
        stats.updateFailure.value++;
      }
      this.#print(problems, loaded);
      this.#owner.onUpdateFailed();
      return;
    }
    const version = loaded.response.version_info as string;
    const decoded = decodeResources(loaded.response, this.#owner.type, problems);
    const refusal = 'refusal' in decoded ? decoded.refusal : this.#owner.onUpdate(decoded.resources, version);
    if (refusal !== undefined) {
      log.warn(`Filesystem config update rejected: ${refusal}`);
      stats.updateRejected.value++;
      if ('refusal' in decoded) this.#owner.onUpdateFailed();
    } else {
      stats.updateTime.value = Date.now();
      stats.version.value = hashValue(xxHash64Of(latin1OfUtf8(version)).toBigInt());
      stats.versionText.value = version;
      stats.updateSuccess.value++;
    }
    this.#print(problems, loaded, refusal === undefined ? 'warning' : 'error');
  }

  /** Every mistake with its place and how to mend it, behind the line in Envoy's words. */
  #print(
    problems: readonly ConfigError[],
    { sources }: LoadedResponse,
    severity: 'error' | 'warning' = 'error',
  ): void {
    locate(problems, sources);
    for (const it of problems) it.file ??= this.#config.path;
    // What was not read as it was meant is often why the rest is wrong.
    const shown = problems.filter(
      (it) => it.severity === severity || (severity === 'error' && it.rule === 'unknown-field'),
    );
    if (severity === 'error' && shown.length > 0) log.warn(formatProblems(shown, sources, 'text').trimEnd());
    if (severity === 'error') return;
    for (const it of shown) {
      const place = it.line === undefined ? it.file : `${it.file}:${it.line}:${it.column}`;
      const text = (it.envoy ?? it.message).replace(unknownFields, 'Unknown field: $1');
      log.warn(`${text}${it.suggestion === undefined ? '' : `; ${it.suggestion}`} (${place})`);
    }
  }
}

/** In a file that was read at the start these are the words of an error. */
const unknownFields = /^Protobuf message \((.*)\) has unknown fields$/s;

function words(problem: ConfigError | undefined): string {
  return problem === undefined ? '' : (problem.envoy ?? problem.message);
}
