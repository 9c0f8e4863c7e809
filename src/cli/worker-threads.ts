// The workers' threads, which come up while the main thread reads the configuration.
import { availableParallelism } from 'node:os';
import { startThread, type Thread } from '#data-plane/worker-thread.ts';
import type { EnvoyOptions } from './envoy-flags.ts';

export const extensionModules: readonly string[] = [new URL('../extensions/all.ts', import.meta.url).href];

export function workerCount(options: EnvoyOptions): number {
  return options.concurrency ?? availableParallelism();
}

export function startThreads(options: EnvoyOptions): Thread[] {
  return Array.from({ length: workerCount(options) }, (_, i) => startThread(i, extensionModules));
}
