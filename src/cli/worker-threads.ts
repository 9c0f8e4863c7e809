// The workers' threads, which come up while the main thread reads the configuration.
import { availableParallelism } from 'node:os';
import { startThread, type Thread } from '#data-plane/worker-thread.ts';
import type { EnvoyOptions } from './envoy-flags.ts';

export const extensionModules: readonly string[] = [new URL('../extensions/all.ts', import.meta.url).href];

export function workerCount(options: EnvoyOptions): number {
  return options.concurrency ?? availableParallelism();
}

/** Those that have a processor while the main thread is busy with another; the server starts the rest. */
export function startThreads(options: EnvoyOptions): Thread[] {
  const length = Math.min(workerCount(options), Math.max(availableParallelism() - 1, 1));
  return Array.from({ length }, (_, i) => startThread(i, extensionModules));
}
