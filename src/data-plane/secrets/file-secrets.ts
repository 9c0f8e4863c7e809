// SDS: secrets from files, kept up to date. They come by a subscription, and the files that they name are watched too: a change there (a
// rename, a Kubernetes symlink swap, a write) reads them anew. What cannot be read or does not belong together, as between the writes of a
// certificate and its key, leaves the old secret in force and is tried again.
import { type FSWatcher, readFileSync, watch } from 'node:fs';
import { dirname } from 'node:path';
import { logger } from '#base/logger.ts';
import { collectTakings, onRelease } from '#base/takings.ts';
import type { ConfigError } from '#config/config-error.ts';
import { ParseContext } from '#config/parse-context.ts';
import { watchProblem } from '#config/rules/watched-path.ts';
import { parseSecret } from '#extension/secrets/parse-secret.ts';
import type { SecretData } from '#extension/secrets/secret-data.ts';
import type { DataSource } from '#schema/messages/envoy/config/core/v3.ts';
import type { Secret } from '#schema/messages/envoy/extensions/transport_sockets/tls/v3.ts';
import type { Counter } from '#stats/metric.ts';
import type { Scope } from '#stats/store.ts';
import type { DiscoveredResource } from '#xds/decode-resources.ts';
import { type FileSourceContext, FileSubscription, type SubscriptionOwner } from '#xds/file-source.ts';
import { SubscriptionStats } from '#xds/subscription-stats.ts';
import type { SecretFile } from './secrets-config.ts';

const log = logger('misc');

/** Several writes in a row are read once. */
const settleMs = 20;
const firstRetryMs = 100;
const maxRetryMs = 10_000;

interface Followed {
  readonly subscription: FileSecret;
  readonly first: Promise<void>;
  /** Gives back what was taken for all. */
  readonly release: () => void;
  users: number;
}

export class FileSecrets {
  readonly #files: readonly SecretFile[];
  readonly #scope: Scope;
  readonly #context: FileSourceContext;
  readonly #onSecret: (key: string, secret: SecretData) => void;
  readonly #followed = new Map<string, Followed>();

  /** `files`: to be followed until the end. `scope`: without a prefix. */
  constructor(
    files: readonly SecretFile[],
    scope: Scope,
    context: FileSourceContext,
    onSecret: (key: string, secret: SecretData) => void,
  ) {
    this.#files = files;
    this.#scope = scope;
    this.#context = context;
    this.#onSecret = onSecret;
  }

  /** Resolves when every file was read once. */
  async start(): Promise<void> {
    await Promise.all(this.#files.map((it) => this.follow(it)));
  }

  /** Until the last who follows it gives it back. Resolves when the file was read once. */
  follow(file: SecretFile): Promise<void> {
    let followed = this.#followed.get(file.key);
    if (followed === undefined) {
      // Not a taking of whoever is the first.
      const { value: subscription, release } = collectTakings(
        () => new FileSecret(file, this.#scope, this.#context, (secret) => this.#onSecret(file.key, secret)),
      );
      followed = { subscription, first: subscription.start(), release, users: 0 };
      this.#followed.set(file.key, followed);
    }
    const own = followed;
    own.users++;
    onRelease(() => {
      if (--own.users > 0) return;
      own.subscription.close();
      own.release();
      this.#followed.delete(file.key);
    });
    return own.first;
  }

  /** What has come so far. */
  *current(): Iterable<readonly [key: string, secret: SecretData]> {
    for (const [key, { subscription }] of this.#followed)
      if (subscription.secret !== undefined) yield [key, subscription.secret];
  }

  /** As it came, with the bytes of files inside; undefined: it has not come. */
  message(key: string): Secret | undefined {
    return this.#followed.get(key)?.subscription.message;
  }

  /** For `/config_dump`. */
  get subscriptions(): FileSecret[] {
    return [...this.#followed.values()].map((it) => it.subscription);
  }

  close(): void {
    for (const { subscription } of this.#followed.values()) subscription.close();
  }
}

interface Received {
  readonly message: Secret;
  readonly version: string;
}

export class FileSecret implements SubscriptionOwner {
  readonly type = 'envoy.extensions.transport_sockets.tls.v3.Secret';
  readonly name: string;
  secret: SecretData | undefined = undefined;
  /** As it came, with the bytes of files inside. */
  message: Secret | undefined = undefined;
  version = 'uninitialized';
  updatedMs: number = Date.now();
  readonly #isCertificate: boolean;
  readonly #onSecret: (secret: SecretData) => void;
  readonly #subscription: FileSubscription;
  readonly #rotationFailed: Counter;
  readonly #watchers = new Map<string, FSWatcher>();
  /** What came last: also when its files do not belong together yet. */
  #latest: Received | undefined = undefined;
  #taken: Received | undefined = undefined;
  #timer: NodeJS.Timeout | undefined = undefined;
  #retryMs = firstRetryMs;

  constructor(
    { name, source, isCertificate }: SecretFile,
    scope: Scope,
    context: FileSourceContext,
    onSecret: (secret: SecretData) => void,
  ) {
    this.name = name;
    this.#isCertificate = isCertificate;
    this.#onSecret = onSecret;
    const own = scope.scope(`sds.${name}`);
    this.#rotationFailed = own.counter('key_rotation_failed');
    this.#subscription = new FileSubscription(source, this, own.stats(SubscriptionStats), context);
  }

  /** Resolves when the file was read once. */
  start(): Promise<void> {
    return this.#subscription.start();
  }

  onUpdate(resources: readonly DiscoveredResource[], version: string): string | undefined {
    const [resource] = resources;
    if (resource === undefined)
      return this.#refuse(`Missing SDS resources for ${this.name} in onConfigUpdate()`);
    if (resources.length > 1) return this.#refuse(`Unexpected SDS secrets length: ${resources.length}`);
    const message = resource.message as Secret;
    if (message.name !== this.name)
      return this.#refuse(`Unexpected SDS secret (expecting ${this.name}): ${message.name}`);
    // What is missing, to Envoy, in a certificate that is none.
    if (this.#isCertificate && message.tls_certificate === undefined)
      return 'Failed to load incomplete private key from path: ';
    const { tls_certificate: certificate, validation_context: validation } = message;
    const watched = (certificate ?? validation)?.watched_directory?.path;
    const missing = watched === undefined ? undefined : watchProblem(`${watched}/`);
    if (missing !== undefined) return missing;
    this.#latest = { message, version };
    this.#watch(directoriesOf(message));
    const before = resource.at.problems.length;
    const secret = parseSecret(message, resource.at);
    const problem = [...resource.problems, ...resource.at.problems.slice(before)].find(
      (it) => it.severity === 'error',
    );
    if (secret === undefined || problem !== undefined) {
      this.#later(this.#retryMs);
      return problem?.envoy ?? problem?.message ?? `Unexpected SDS secret type: ${this.name}`;
    }
    this.#take(secret);
    return undefined;
  }

  onUpdateFailed(): void {}

  close(): void {
    this.#subscription.close();
    clearTimeout(this.#timer);
    for (const it of this.#watchers.values()) it.close();
  }

  /** The files that the secret names may have changed. */
  #reload(): void {
    const { message } = this.#latest!;
    const problems: ConfigError[] = [];
    const secret = parseSecret(message, new ParseContext('', problems));
    const problem = problems.find((it) => it.severity === 'error');
    if (secret !== undefined && problem === undefined) {
      this.#take(secret);
      return;
    }
    if (this.#retryMs === firstRetryMs && this.#latest === this.#taken) {
      this.#rotationFailed.value++;
      log.warn(`sds: secret '${this.name}' is not taken: ${problem?.envoy ?? problem?.message ?? ''}`);
    }
    this.#later(this.#retryMs);
    this.#retryMs = Math.min(this.#retryMs * 2, maxRetryMs);
  }

  #take(secret: SecretData): void {
    const { message, version } = this.#latest!;
    clearTimeout(this.#timer);
    this.#retryMs = firstRetryMs;
    this.#taken = this.#latest;
    this.version = version;
    if (JSON.stringify(secret) === JSON.stringify(this.secret)) return;
    this.updatedMs = Date.now();
    this.message = withFiles(message);
    this.secret = secret;
    this.#onSecret(secret);
  }

  #refuse(words: string): string {
    log.warn(`sds: secret '${this.name}' config rejected: ${words}`);
    return words;
  }

  #later(delayMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#reload(), delayMs);
  }

  #watch(directories: ReadonlySet<string>): void {
    for (const [directory, watcher] of this.#watchers) {
      if (directories.has(directory)) continue;
      watcher.close();
      this.#watchers.delete(directory);
    }
    for (const directory of directories) {
      if (this.#watchers.has(directory)) continue;
      try {
        const watcher = watch(directory, () => this.#later(settleMs));
        // The directory went away: what was read stays in force.
        watcher.on('error', () => {});
        this.#watchers.set(directory, watcher);
      } catch (error) {
        log.warn(`cannot watch ${directory}: ${(error as Error).message}`);
      }
    }
  }
}

/** The message that `/config_dump` and `/certs` show: what stood in files is in it. */
function withFiles(message: Secret): Secret {
  const { tls_certificate: certificate, validation_context: validation } = message;
  const inline = <T extends object>(part: T, ...fields: readonly (keyof T)[]): T => {
    const read = fields.flatMap((field) => {
      const { filename } = (part[field] ?? {}) as DataSource;
      if (filename === undefined) return [];
      return [[field, { inline_bytes: new Uint8Array(readFileSync(filename)) }]];
    });
    // Defaults come through the prototype.
    return Object.assign(Object.create(Object.getPrototypeOf(part)), part, Object.fromEntries(read)) as T;
  };
  if (certificate !== undefined)
    return {
      ...message,
      tls_certificate: inline(certificate, 'certificate_chain', 'private_key', 'pkcs12'),
    };
  if (validation !== undefined)
    return { ...message, validation_context: inline(validation, 'trusted_ca', 'crl') };
  return message;
}

/** Of the files that the secret names: `watched_directory`, else where they are. */
function directoriesOf({ tls_certificate, validation_context }: Secret): Set<string> {
  const directories = new Set<string>();
  for (const part of [tls_certificate, validation_context]) {
    if (part?.watched_directory !== undefined) directories.add(part.watched_directory.path);
  }
  const sources: readonly [DataSource | undefined, string | undefined][] = [
    [tls_certificate?.certificate_chain, tls_certificate?.watched_directory?.path],
    [tls_certificate?.private_key, tls_certificate?.watched_directory?.path],
    [tls_certificate?.pkcs12, tls_certificate?.watched_directory?.path],
    [validation_context?.trusted_ca, validation_context?.watched_directory?.path],
    [validation_context?.crl, validation_context?.watched_directory?.path],
  ];
  for (const [source, watched] of sources) {
    if (source?.filename !== undefined && watched === undefined) directories.add(dirname(source.filename));
  }
  return directories;
}
