// Where a worker thread starts.
import { parentPort, workerData } from 'node:worker_threads';
import { logs } from '#base/logger.ts';
import type { Extension } from '#extension/registry.ts';
import { Worker } from './worker.ts';
import type { ToWorker, WorkerData } from './worker-protocol.ts';
import type { ThreadData } from './worker-thread.ts';

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
