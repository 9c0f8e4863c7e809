// Secrets from files, kept up to date. A change in one of the directories (a rename, a Kubernetes symlink swap, a write) reads
// everything anew; what cannot be read or does not belong together, as between the writes of a certificate and its key, leaves the
// old secret in force and is tried again.
import { type FSWatcher, watch } from 'node:fs';
import { dirname } from 'node:path';
import { logger } from '#base/logger.ts';
import { onRelease } from '#base/takings.ts';
import { ConfigError } from '#config/config-error.ts';
import { loadDiscoveryFile } from '#config/load.ts';
import { ParseContext } from '#config/parse-context.ts';
import { parseSecret } from '#extension/secrets/parse-secret.ts';
import type { SecretData } from '#extension/secrets/secret-data.ts';
import type { DataSource } from '#schema/messages/envoy/config/core/v3.ts';
import type { Secret } from '#schema/messages/envoy/extensions/transport_sockets/tls/v3.ts';
import type { DiscoveryResponse } from '#schema/messages/envoy/service/discovery/v3.ts';
import type { SecretFile } from './secrets-config.ts';

const log = logger('config');

/** Several writes in a row are read once. */
const settleMs = 20;
const firstRetryMs = 100;
const maxRetryMs = 10_000;

interface Followed {
  readonly subscription: FileSecret;
  readonly first: Promise<void>;
  users: number;
}

export class FileSecrets {
  readonly #files: readonly SecretFile[];
  readonly #onSecret: (key: string, secret: SecretData) => void;
  readonly #followed = new Map<string, Followed>();

  /** `files`: to be followed until the end. */
  constructor(files: readonly SecretFile[], onSecret: (key: string, secret: SecretData) => void) {
    this.#files = files;
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
      const subscription = new FileSecret(file, (secret) => this.#onSecret(file.key, secret));
      followed = { subscription, first: subscription.load(), users: 0 };
      this.#followed.set(file.key, followed);
    }
    const own = followed;
    own.users++;
    onRelease(() => {
      if (--own.users > 0) return;
      own.subscription.close();
      this.#followed.delete(file.key);
    });
    return own.first;
  }

  /** What has come so far. */
  *current(): Iterable<readonly [key: string, secret: SecretData]> {
    for (const [key, { subscription }] of this.#followed)
      if (subscription.secret !== undefined) yield [key, subscription.secret];
  }

  close(): void {
    for (const { subscription } of this.#followed.values()) subscription.close();
  }
}

class FileSecret {
  readonly file: SecretFile;
  secret: SecretData | undefined = undefined;
  readonly #onSecret: (secret: SecretData) => void;
  readonly #watchers = new Map<string, FSWatcher>();
  #timer: NodeJS.Timeout | undefined = undefined;
  #retryMs = firstRetryMs;
  #isClosed = false;

  constructor(file: SecretFile, onSecret: (secret: SecretData) => void) {
    this.file = file;
    this.#onSecret = onSecret;
    this.#watch(new Set([file.directory]));
  }

  async load(): Promise<void> {
    const { path, name } = this.file;
    const { response, problems, ok } = await loadDiscoveryFile(path);
    if (this.#isClosed) return;
    const all = [...problems];
    const resources = (response as unknown as DiscoveryResponse)
      .resources as readonly object[] as readonly Secret[];
    const message = resources.find((it) => it.name === name);
    if (message === undefined && ok)
      all.push(new ConfigError('resources', `there is no secret "${name}"`, {}, 'error'));
    const secret = message && ok ? parseSecret(message, new ParseContext('resources', all)) : undefined;
    if (message !== undefined) this.#watch(directoriesOf(this.file, message));
    const problem = all.find((it) => it.severity === 'error');
    if (secret === undefined || problem !== undefined) {
      log.warn(`secret "${name}" of ${path} is not taken: ${problem?.message ?? 'it is of an unknown kind'}`);
      this.#later(this.#retryMs);
      this.#retryMs = Math.min(this.#retryMs * 2, maxRetryMs);
      return;
    }
    this.#retryMs = firstRetryMs;
    if (JSON.stringify(secret) === JSON.stringify(this.secret)) return;
    this.secret = secret;
    this.#onSecret(secret);
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    for (const it of this.#watchers.values()) it.close();
  }

  #later(delayMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.load(), delayMs);
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

/** Of the subscription's file, and of the files that the secret names: `watched_directory`, else where they are. */
function directoriesOf(file: SecretFile, { tls_certificate, validation_context }: Secret): Set<string> {
  const directories = new Set([file.directory]);
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
