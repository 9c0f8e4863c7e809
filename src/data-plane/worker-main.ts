// Where a worker thread starts.
import { parentPort, workerData } from 'node:worker_threads';
import { resolveOwnModules } from '#base/own-modules.ts';
import type { Extension } from '#extension/registry.ts';
import type { ToWorker, WorkerData } from './worker-protocol.ts';
import type { ThreadData } from './worker-thread.ts';

resolveOwnModules();
const { logs } = await import('#base/logger.ts');
const { Worker } = await import('./worker.ts');
const { extensionModules } = workerData as ThreadData;
const modules = await Promise.all(
  extensionModules.map((url) => import(url) as Promise<{ readonly extensions: readonly Extension[] }>),
);
const port = parentPort!;
port.once('message', (data: WorkerData) => {
  if (data.logs !== undefined) logs.configure(data.logs);
  const worker = new Worker(
    data,
    modules.flatMap((it) => it.extensions),
    (message, transfer) => port.postMessage(message, transfer ?? []),
  );
  port.on('message', (message: ToWorker) => worker.receive(message));
  port.postMessage({ type: 'ready' });
});
