// Lets the body of a response through at a fixed rate: a sixteenth of a second's bytes at a time.
import { type TimerOwner, type TimerWheel, WheelTimer } from '#base/timer-wheel.ts';
import type { HttpFilter, HttpStream } from '#extension/http-filter.ts';

const stepsPerSecond = 16;

/** What of the body waits is kept here; above the stream's buffer limit the upstream is held back. */
export class ResponseThrottle implements TimerOwner {
  readonly #stream: HttpStream;
  readonly #filter: HttpFilter;
  readonly #timers: TimerWheel;
  readonly #bytesPerStep: number;
  readonly #timer: WheelTimer;
  readonly #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #tokens: number;
  #ends = false;
  #endsWithTrailers = false;
  #isHigh = false;
  isDone = false;

  constructor(stream: HttpStream, filter: HttpFilter, timers: TimerWheel, bytesPerSecond: number) {
    this.#stream = stream;
    this.#filter = filter;
    this.#timers = timers;
    this.#bytesPerStep = Math.max(1, Math.floor(bytesPerSecond / stepsPerSecond));
    this.#tokens = this.#bytesPerStep;
    this.#timer = new WheelTimer(this);
  }

  get isEmpty(): boolean {
    return this.#waitingBytes === 0;
  }

  add(data: Buffer, endStream: boolean): void {
    if (data.length > 0) this.#waiting.push(data);
    this.#waitingBytes += data.length;
    this.#ends = endStream;
    const limit = this.#stream.encoderBufferLimit;
    if (!this.#isHigh && limit > 0 && this.#waitingBytes > limit) {
      this.#isHigh = true;
      this.#stream.upstreamReadDisable(true);
    }
    if (!this.#timer.isActive) this.#timers.start(this.#timer, 0);
  }

  endWithTrailers(): void {
    this.#endsWithTrailers = true;
  }

  cancel(): void {
    this.#timers.cancel(this.#timer);
    this.isDone = true;
  }

  onTimeout(): void {
    const stream = this.#stream;
    while (this.#tokens > 0 && this.#waiting.length > 0) {
      const first = this.#waiting[0]!;
      const part = first.length <= this.#tokens ? first : first.subarray(0, this.#tokens);
      if (part.length === first.length) this.#waiting.shift();
      else this.#waiting[0] = first.subarray(part.length);
      this.#tokens -= part.length;
      this.#waitingBytes -= part.length;
      const isLast = this.#waitingBytes === 0 && this.#ends;
      if (isLast) this.isDone = true;
      stream.injectEncodedData(this.#filter, part, isLast);
      if (this.isDone) return;
    }
    if (this.#isHigh && this.#waitingBytes <= stream.encoderBufferLimit / 2) {
      this.#isHigh = false;
      stream.upstreamReadDisable(false);
    }
    if (this.#waitingBytes === 0) {
      if (this.#ends || this.#endsWithTrailers) {
        this.isDone = true;
        if (this.#ends) stream.injectEncodedData(this.#filter, Buffer.alloc(0), true);
        else stream.continueEncoding(this.#filter);
        return;
      }
      if (this.#tokens > 0) return;
    }
    this.#tokens = this.#bytesPerStep;
    this.#timers.start(this.#timer, 1000 / stepsPerSecond);
  }
}
