// The rapid reset: a client that opens streams only to reset them. Counted per connection, as Envoy does: when more than half of a
// connection's streams ended within a second and without a response, or surely will have, the connection ends.
import type { Runtime } from '#extension/runtime.ts';

const totalKey = 'overload.premature_reset_total_stream_count';
const lifetimeKey = 'overload.premature_reset_min_stream_lifetime_seconds';

export class PrematureResets {
  #closed = 0;
  #premature = 0;

  /** A stream ended. True: that was one too many. */
  onStreamEnd(hasResponse: boolean, lifetimeMs: number, runtime: Runtime): boolean {
    this.#closed++;
    if (hasResponse || Math.floor(lifetimeMs / 1000) > runtime.integer(lifetimeKey, 1)) return false;
    this.#premature++;
    // Below the total, half of it is enough: whatever comes, it will be too much then.
    return this.#premature * 2 >= Math.max(runtime.integer(totalKey, 500), this.#closed);
  }
}
