// A thread that becomes a worker: it imports its modules at once and waits for `WorkerData`. Starting it costs as long as reading a
// configuration, so the command line starts the threads first and hands them to the server afterwards.
import { Worker as Thread } from 'node:worker_threads';

export type { Thread };

/** What a thread needs before anything is known of the configuration. */
export interface ThreadData {
  /** Modules that export `extensions`, by URL: each thread imports them for itself. */
  readonly extensionModules: readonly string[];
}

/** Does not keep the process alive until somebody calls `ref()`. */
export function startThread(index: number, extensionModules: readonly string[]): Thread {
  const thread = new Thread(new URL('./worker-main.ts', import.meta.url), {
    workerData: { extensionModules } satisfies ThreadData,
    name: `worker_${index}`,
  });
  thread.unref();
  return thread;
}
