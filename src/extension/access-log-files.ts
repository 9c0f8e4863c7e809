// The files that access logs of one thread go to. Lines are collected and written together, as Envoy does: when 64 KB are there, or
// when the flush interval is over. Every write appends whole lines, so that all workers can share a file.
import { close, closeSync, openSync, write } from 'node:fs';
import { systemErrorText } from '#base/system-errors.ts';
import type { Counter, Gauge } from '#stats/metric.ts';
import type { Scope, StatsStore } from '#stats/store.ts';

export interface FlushOptions {
  /** `--file-flush-interval-msec`, default 10,000. */
  readonly intervalMs: number;
  /** `--file-flush-min-size-kb` in bytes, default 65,536. */
  readonly minBytes: number;
}

class FileStats {
  readonly writeBuffered: Counter;
  readonly writeCompleted: Counter;
  readonly writeFailed: Counter;
  readonly flushedByTimer: Counter;
  readonly reopenFailed: Counter;
  readonly writeTotalBuffered: Gauge;

  constructor(scope: Scope) {
    this.writeBuffered = scope.counter('write_buffered');
    this.writeCompleted = scope.counter('write_completed');
    this.writeFailed = scope.counter('write_failed');
    this.flushedByTimer = scope.counter('flushed_by_timer');
    this.reopenFailed = scope.counter('reopen_failed');
    this.writeTotalBuffered = scope.gauge('write_total_buffered');
  }
}

/** One per thread; owns the files until `close`. */
export class AccessLogFiles {
  readonly #options: FlushOptions;
  readonly #stats: FileStats;
  readonly #files = new Map<string, AccessLogFile>();
  #timer: NodeJS.Timeout | undefined = undefined;

  constructor(store: StatsStore, options: FlushOptions) {
    this.#options = options;
    this.#stats = store.scope('filesystem').stats(FileStats);
  }

  /** The file at `path`, the same for everybody who asks. Opened now; one that cannot be opened loses its lines and is tried again on `reopen`. */
  file(path: string): AccessLogFile {
    let file = this.#files.get(path);
    if (file === undefined) {
      file = new AccessLogFile(path, this.#stats, this.#options.minBytes);
      this.#files.set(path, file);
      this.#timer ??= setInterval(() => this.#onTimer(), this.#options.intervalMs).unref();
    }
    return file;
  }

  #onTimer(): void {
    for (const file of this.#files.values()) {
      this.#stats.flushedByTimer.value++;
      file.flush();
    }
  }

  /** SIGUSR1 and POST /reopen_logs: somebody has moved the files away. */
  reopen(): void {
    for (const file of this.#files.values()) file.reopen();
  }

  /** Writes what is left; `onClosed` is called when all of it is with the system. */
  close(onClosed: () => void): void {
    clearInterval(this.#timer);
    let open = this.#files.size;
    if (open === 0) onClosed();
    for (const file of this.#files.values())
      file.close(() => {
        if (--open === 0) onClosed();
      });
    this.#files.clear();
  }
}

export class AccessLogFile {
  readonly path: string;
  readonly #stats: FileStats;
  readonly #minBytes: number;
  #fd: number;
  /** Opened by `reopen` while a write to the old one is under way. */
  #nextFd = -1;
  /** Not handed to the system yet. Latin1. */
  #pending = '';
  /** What is being written, and how much of it has been. One write at a time keeps the order. */
  #writing: Buffer | undefined = undefined;
  #written = 0;
  #onClosed: (() => void) | undefined = undefined;
  readonly #onWritten = (error: NodeJS.ErrnoException | null, bytes: number) => this.#advance(error, bytes);

  constructor(path: string, stats: FileStats, minBytes: number) {
    this.path = path;
    this.#stats = stats;
    this.#minBytes = minBytes;
    this.#fd = openForAppend(path);
  }

  /** Hot. `line` is latin1 and has its line feed. */
  write(line: string): void {
    this.#stats.writeBuffered.value++;
    this.#stats.writeTotalBuffered.value += line.length;
    this.#pending += line;
    if (this.#pending.length >= this.#minBytes) this.flush();
  }

  flush(): void {
    if (this.#writing !== undefined || this.#pending === '') return;
    this.#writing = Buffer.from(this.#pending, 'latin1');
    this.#written = 0;
    this.#pending = '';
    if (this.#fd < 0) this.#done(this.#stats.writeFailed);
    else this.#writeRest(this.#writing);
  }

  #writeRest(bytes: Buffer): void {
    write(this.#fd, bytes, this.#written, bytes.length - this.#written, null, this.#onWritten);
  }

  #advance(error: NodeJS.ErrnoException | null, bytes: number): void {
    const writing = this.#writing!;
    if (error === null) this.#written += bytes;
    if (error !== null && error.code !== 'EAGAIN') this.#done(this.#stats.writeFailed);
    else if (this.#written < writing.length) this.#writeRest(writing);
    else this.#done(this.#stats.writeCompleted);
  }

  #done(counter: Counter): void {
    counter.value++;
    this.#stats.writeTotalBuffered.value -= this.#writing!.length;
    this.#writing = undefined;
    if (this.#nextFd >= 0) this.#switch(this.#nextFd);
    if (this.#pending.length >= this.#minBytes || this.#onClosed !== undefined) this.flush();
    if (this.#writing === undefined && this.#onClosed !== undefined) this.#end(this.#onClosed);
  }

  /** A file that cannot be opened anew stays as it is. */
  reopen(): void {
    const fd = openForAppend(this.path);
    if (fd < 0) this.#stats.reopenFailed.value++;
    else if (this.#writing === undefined) this.#switch(fd);
    else {
      if (this.#nextFd >= 0) close(this.#nextFd);
      this.#nextFd = fd;
    }
  }

  #switch(fd: number): void {
    if (this.#fd >= 0) close(this.#fd);
    this.#fd = fd;
    this.#nextFd = -1;
  }

  close(onClosed: () => void): void {
    this.#onClosed = onClosed;
    this.flush();
    if (this.#writing === undefined) this.#end(onClosed);
  }

  #end(onClosed: () => void): void {
    this.#onClosed = undefined;
    if (this.#fd >= 0) close(this.#fd);
    this.#fd = -1;
    onClosed();
  }
}

/** -1 when it cannot be opened. */
/** Why no log can be written there, in Envoy's words. A file that is not there yet is there afterwards. */
export function openProblem(path: string): string | undefined {
  try {
    closeSync(openSync(path, 'a', 0o644));
    return undefined;
  } catch (error) {
    const reason = systemErrorText((error as NodeJS.ErrnoException).code);
    // Standard output may be a socket, which cannot be opened by its name.
    return reason === undefined ? undefined : `unable to open file '${path}': ${reason}`;
  }
}

function openForAppend(path: string): number {
  try {
    return openSync(path, 'a', 0o644);
  } catch {
    return -1;
  }
}
