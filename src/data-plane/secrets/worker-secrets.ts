// The secrets of a worker: what the main thread has delivered so far, and who wants to know of changes.
import { onRelease } from '#base/takings.ts';
import type { SecretData, SecretStore } from '#extension/secrets/secret-data.ts';

export class WorkerSecrets implements SecretStore {
  readonly #secrets = new Map<string, SecretData>();
  readonly #watchers = new Map<string, Set<() => void>>();

  get(key: string): SecretData | undefined {
    return this.#secrets.get(key);
  }

  set(key: string, secret: SecretData): void {
    this.#secrets.set(key, secret);
    for (const onChange of this.#watchers.get(key) ?? []) onChange();
  }

  watch(key: string, onChange: () => void): () => void {
    const watchers = this.#watchers.get(key) ?? new Set();
    this.#watchers.set(key, watchers);
    watchers.add(onChange);
    const end = () => watchers.delete(onChange);
    onRelease(end);
    return end;
  }
}
