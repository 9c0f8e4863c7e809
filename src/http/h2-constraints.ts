// What one HTTP/2 connection may make us read, answer and hold: Envoy's limits against floods (`Http2ProtocolOptions.max_*`),
// counted here, judged by the session, which ends the connection.
import type { ByteSink } from './codec.ts';
import type { H2Options } from './h2-options.ts';
import type { H2Output } from './h2-output.ts';
import type { H2CodecStats } from './h2-stats.ts';

export class ProtocolConstraints {
  readonly #options: H2Options;
  readonly #stats: H2CodecStats;
  readonly #sink: ByteSink;
  readonly #output: H2Output;
  /** Both sides' streams so far: a peer earns PRIORITY and WINDOW_UPDATE frames by them. */
  openedStreams = 0;
  dataFramesSent = 0;
  /** Written since the last flush: all frames, and of these acknowledgements and RST_STREAM. */
  framesWritten = 0;
  controlWritten = 0;

  // Flushed, but still with the sink. `marks`: [bytes handed over, frames, control frames, ...] per flush.
  #framesHeld = 0;
  #controlHeld = 0;
  #marks: number[] = [];
  #marksStart = 0;
  /** What the gauges say of it. */
  #framesShown = 0;
  #controlShown = 0;

  #emptyFrames = 0;
  #priorityFrames = 0;
  #windowUpdateFrames = 0;
  /** -1: no RST_STREAM came yet. */
  #resetTokens = -1;
  #resetTokensMs = 0;

  constructor(options: H2Options, stats: H2CodecStats, sink: ByteSink, output: H2Output) {
    this.#options = options;
    this.#stats = stats;
    this.#sink = sink;
    this.#output = output;
  }

  // Each of these counts one frame that came. False: it was one too many.

  /** HEADERS, CONTINUATION or DATA with `length` bytes of content. */
  allowsContent(length: number, endStream: boolean): boolean {
    if (length > 0 || endStream) {
      this.#emptyFrames = 0;
      return true;
    }
    if (++this.#emptyFrames <= this.#options.maxConsecutiveInboundFramesWithEmptyPayload) return true;
    this.#stats.inbound_empty_frames_flood.value++;
    return false;
  }

  allowsPriority(): boolean {
    const limit = this.#options.maxInboundPriorityFramesPerStream * (1 + this.openedStreams);
    if (++this.#priorityFrames <= limit) return true;
    this.#stats.inbound_priority_frames_flood.value++;
    return false;
  }

  allowsWindowUpdate(): boolean {
    const perDataFrame = this.#options.maxInboundWindowUpdateFramesPerDataFrameSent;
    const limit = 5 + 2 * (this.openedStreams + perDataFrame * this.dataFramesSent);
    if (++this.#windowUpdateFrames <= limit) return true;
    this.#stats.inbound_window_update_frames_flood.value++;
    return false;
  }

  /** A token bucket (`stream_reset_burst`, `stream_reset_rate`), as nghttp2 has against rapid resets. */
  allowsReset(nowMs: number): boolean {
    const { streamResetBurst, streamResetRate } = this.#options;
    if (this.#resetTokens < 0) {
      this.#resetTokens = streamResetBurst;
      this.#resetTokensMs = nowMs;
    }
    const seconds = Math.floor((nowMs - this.#resetTokensMs) / 1000);
    if (seconds > 0) {
      this.#resetTokens = Math.min(streamResetBurst, this.#resetTokens + seconds * streamResetRate);
      this.#resetTokensMs = nowMs;
    }
    if (this.#resetTokens === 0) return false;
    this.#resetTokens--;
    return true;
  }

  // Frames that leave.

  /** What was written has been handed to the sink. */
  onFlushed(): void {
    if (this.framesWritten === 0) return;
    this.#marks.push(this.#output.handed, this.framesWritten, this.controlWritten);
    this.#framesHeld += this.framesWritten;
    this.#controlHeld += this.controlWritten;
    // Listed from the first frame on, though nothing may ever be found waiting.
    this.#stats.outbound_frames_active.value += 0;
    if (this.controlWritten > 0) this.#stats.outbound_control_frames_active.value += 0;
    this.framesWritten = 0;
    this.controlWritten = 0;
  }

  /** Forgets the frames of which the sink has let go. */
  countDrained(): void {
    const drained = this.#output.handed - this.#sink.pendingBytes;
    const marks = this.#marks;
    let at = this.#marksStart;
    while (at < marks.length && marks[at]! <= drained) {
      this.#framesHeld -= marks[at + 1]!;
      this.#controlHeld -= marks[at + 2]!;
      at += 3;
    }
    if (at === marks.length) {
      marks.length = 0;
      at = 0;
    } else if (at > 3000) {
      marks.splice(0, at);
      at = 0;
    }
    this.#marksStart = at;
    if (this.#framesHeld !== this.#framesShown || this.#controlHeld !== this.#controlShown) this.#show();
  }

  /** What is wrong with the frames that a peer lets pile up; empty: nothing. */
  outboundFlood(): string {
    if (!this.#isTooMuch()) return '';
    this.countDrained();
    if (!this.#isTooMuch()) return '';
    if (this.#framesHeld + this.framesWritten > this.#options.maxOutboundFrames) {
      this.#stats.outbound_flood.value++;
      return 'Too many frames in the outbound queue.';
    }
    this.#stats.outbound_control_flood.value++;
    return 'Too many control frames in the outbound queue.';
  }

  /** The connection is gone. */
  release(): void {
    this.#framesHeld = 0;
    this.#controlHeld = 0;
    this.#marks = [];
    this.#marksStart = 0;
    this.#show();
  }

  #isTooMuch(): boolean {
    return (
      this.#framesHeld + this.framesWritten > this.#options.maxOutboundFrames ||
      this.#controlHeld + this.controlWritten > this.#options.maxOutboundControlFrames
    );
  }

  /** The gauges tell what was found waiting, not what is just being written: mostly nothing. */
  #show(): void {
    this.#stats.outbound_frames_active.value += this.#framesHeld - this.#framesShown;
    // Not listed as used unless there were some.
    if (this.#controlHeld !== this.#controlShown)
      this.#stats.outbound_control_frames_active.value += this.#controlHeld - this.#controlShown;
    this.#framesShown = this.#framesHeld;
    this.#controlShown = this.#controlHeld;
  }
}
