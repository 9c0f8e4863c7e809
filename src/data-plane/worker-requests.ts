// Questions to all workers, answered by each.
import type { WorkerPool } from './worker-pool.ts';
import type { FromWorker } from './worker-protocol.ts';

type Question = 'scrape' | 'reset_counters' | 'hosts_stats';

interface Pending {
  readonly waiting: Set<number>;
  readonly onAnswer: (index: number, answer: FromWorker) => void;
  readonly resolve: () => void;
}

export class WorkerRequests {
  readonly #pool: WorkerPool;
  readonly #pending = new Map<number, Pending>();
  #nextId = 0;

  constructor(pool: WorkerPool) {
    this.#pool = pool;
  }

  /** Resolves when every worker that runs has answered or is gone. */
  ask(type: Question, onAnswer: (index: number, answer: FromWorker) => void = () => {}): Promise<void> {
    const waiting = new Set(this.#pool.running());
    if (waiting.size === 0) return Promise.resolve();
    const id = this.#nextId++;
    return new Promise((resolve) => {
      this.#pending.set(id, { waiting, onAnswer, resolve });
      for (const index of waiting) this.#pool.post(index, { type, id });
    });
  }

  /** Every message of a worker passes here. */
  receive(index: number, message: FromWorker): void {
    if (!('id' in message)) return;
    const pending = this.#pending.get(message.id);
    if (pending === undefined) return;
    pending.onAnswer(index, message);
    this.#answered(message.id, pending, index);
  }

  workerGone(index: number): void {
    for (const [id, pending] of this.#pending) this.#answered(id, pending, index);
  }

  #answered(id: number, { waiting, resolve }: Pending, index: number): void {
    waiting.delete(index);
    if (waiting.size > 0) return;
    this.#pending.delete(id);
    resolve();
  }
}
