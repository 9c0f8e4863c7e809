// The workers as the main thread sees them: threads, or one worker in this thread. Everything posted to all is kept, so that a
// worker that dies is replaced by one that knows the same.
import type { Extension } from '#extension/registry.ts';
import type { FromWorker, ToWorker, WorkerData } from './worker-protocol.ts';
import { startThread, type Thread } from './worker-thread.ts';

interface Channel {
  post(message: ToWorker): void;
  /** Ends the thread, if it is one. */
  terminate(): void;
}

export class WorkerPool {
  readonly #channels: (Channel | undefined)[] = [];
  readonly #onMessage: (index: number, message: FromWorker) => void;
  readonly #onDeath: (index: number, error: Error | undefined, isExpected: boolean) => void;
  readonly #extensionModules: readonly string[];
  readonly #data: Omit<WorkerData, 'index'>;
  #isClosing = false;

  constructor(
    extensionModules: readonly string[],
    data: Omit<WorkerData, 'index'>,
    onMessage: (index: number, message: FromWorker) => void,
    onDeath: (index: number, error: Error | undefined, isExpected: boolean) => void,
  ) {
    this.#extensionModules = extensionModules;
    this.#data = data;
    this.#onMessage = onMessage;
    this.#onDeath = onDeath;
  }

  get size(): number {
    return this.#channels.length;
  }

  /** The workers that run now. */
  running(): number[] {
    return this.#channels.flatMap((channel, index) => (channel === undefined ? [] : index));
  }

  async startInline(extensions: readonly Extension[]): Promise<void> {
    // Otherwise the main thread has no use for what a worker consists of.
    const { Worker } = await import('./worker.ts');
    const index = this.#channels.length;
    const worker = new Worker({ ...this.#data, index }, extensions, (message) =>
      queueMicrotask(() => this.#onMessage(index, message)),
    );
    this.#channels.push({
      // Cloned as between threads: what cannot be, fails here too.
      post: (message) => worker.receive(structuredClone(message)),
      terminate() {},
    });
  }

  /** `thread`: one that was started beforehand. */
  startThread(index: number, thread: Thread = startThread(index, this.#extensionModules)): void {
    thread.ref();
    let failure: Error | undefined;
    thread.on('message', (message: FromWorker) => this.#onMessage(index, message));
    thread.on('error', (error: Error) => {
      failure = error;
    });
    thread.on('exit', () => {
      this.#channels[index] = undefined;
      this.#onDeath(index, failure, this.#isClosing);
    });
    this.#channels[index] = {
      post: (message) => thread.postMessage(message),
      terminate: () => void thread.terminate(),
    };
    thread.postMessage({ ...this.#data, index } satisfies WorkerData);
  }

  post(index: number, message: ToWorker): void {
    this.#channels[index]?.post(message);
  }

  postAll(message: ToWorker): void {
    for (let i = 0; i < this.#channels.length; i++) this.post(i, message);
  }

  /** No thread is replaced any more. */
  closing(): void {
    this.#isClosing = true;
  }

  terminate(): void {
    this.#isClosing = true;
    for (const it of this.#channels) it?.terminate();
  }
}
