// `track_cluster_stats`: how large requests and responses are, and how much of their timeouts they use. Recorded at the end of each
// attempt and each request, of clusters that ask for it.
import { turnMs } from '#base/turn.ts';
import type { HeaderMap } from '#http/header-map.ts';
import { headerBytes, headerCount } from '#http/header-size.ts';
import type { SizeStats, TimeoutBudgetStats } from './cluster-stats.ts';

/** One attempt, as far as it came. */
export class AttemptTrack {
  readonly startMs = turnMs();
  /** The timeout of the request has ended it: its own did not come into play. */
  isCutShort = false;
  bodySent = 0;
  bodyReceived = 0;
  /** With those of 1xx; -1: there was no response. */
  responseHeaderBytes = -1;
  responseHeaderCount = 0;

  onResponse(headers: HeaderMap): void {
    this.responseHeaderBytes = Math.max(0, this.responseHeaderBytes) + headerBytes(headers);
    this.responseHeaderCount += headerCount(headers);
  }
}

export class ClusterTracking {
  readonly #sizes: SizeStats | undefined;
  readonly #budgets: TimeoutBudgetStats | undefined;

  constructor(sizes: SizeStats | undefined, budgets: TimeoutBudgetStats | undefined) {
    this.#sizes = sizes;
    this.#budgets = budgets;
  }

  onAttemptOver(attempt: AttemptTrack, headers: HeaderMap, perTryTimeoutMs: number): void {
    if (this.#budgets !== undefined && !attempt.isCutShort)
      this.#budgets.upstreamRqTimeoutBudgetPerTryPercentUsed.record(
        percentUsed(attempt.startMs, perTryTimeoutMs),
      );
    const stats = this.#sizes;
    if (stats === undefined) return;
    stats.upstreamRqHeadersSize.record(headerBytes(headers));
    stats.upstreamRqHeadersCount.record(headerCount(headers));
    stats.upstreamRqBodySize.record(attempt.bodySent);
    if (attempt.responseHeaderBytes < 0) return;
    stats.upstreamRsHeadersSize.record(attempt.responseHeaderBytes);
    stats.upstreamRsHeadersCount.record(attempt.responseHeaderCount);
    stats.upstreamRsBodySize.record(attempt.bodyReceived);
  }

  /** The response is complete, or was given up waiting for. */
  onRequestOver(requestEndMs: number, timeoutMs: number): void {
    this.#budgets?.upstreamRqTimeoutBudgetPercentUsed.record(percentUsed(requestEndMs, timeoutMs));
  }
}

/** Of no timeout nothing is ever used. `startMs`: 0 while it does not run yet. */
function percentUsed(startMs: number, timeoutMs: number): number {
  if (timeoutMs === 0 || startMs === 0) return 0;
  return Math.floor((Math.floor(turnMs() - startMs) * 100) / timeoutMs);
}
