// Where the bytes of a TCP session go: a connection of its own (`tcp-upstream.ts`) or a stream through an HTTP proxy
// (`http-tunnel.ts`).
import type { ByteCounts } from '#http/byte-counts.ts';
import type { CloseEvent } from '#net/connection.ts';

export interface SessionUpstream {
  /** It takes bytes. */
  readonly isConnected: boolean;
  readonly isGone: boolean;
  /** Bytes that it added to those of the session, both ways, as Envoy counts them. */
  readonly ownBytes: Readonly<ByteCounts>;
  /** The end of its bytes came. */
  readonly hasEnded: boolean;
  open(): void;
  write(data: Buffer): void;
  end(): void;
  /** The client is gone: after its end (`Remote`) what was received is still sent on, and if it broke off, so do we. */
  close(event: CloseEvent, wasReset: boolean): void;
  /** The client is gone, and something is still being sent: `onFlushed` tells its end. */
  readonly isFlushing: boolean;
  /** Both sides have ended, this one last or not. */
  closeEnded(wasLast: boolean): void;
  /** No connection in time. */
  abandon(): void;
  readDisable(disable: boolean): void;
}

/** The session, as its upstream sees it. */
export interface UpstreamOwner {
  onUpstreamConnected(upstream: SessionUpstream): void;
  /** `details`: transport failure in Envoy's words. `isRemote`: refused or broken off by the other side. */
  onConnectFailed(details: string, isRemote: boolean): void;
  onUpstreamData(data: Buffer): void;
  onUpstreamEnd(): void;
  onUpstreamWatermark(isHigh: boolean): void;
  /** After `isFlushing`. */
  onFlushed(): void;
  /** After it was connected. */
  onUpstreamGone(wasReset: boolean): void;
}
