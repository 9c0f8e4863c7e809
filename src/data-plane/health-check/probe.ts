// What checks one host over one protocol: the contract between `host-check.ts`, which counts results, and the probes, which get them.

export const FailureType = {
  /** The answer was no. */
  Active: 'ACTIVE',
  /** A response of a request said so. */
  Passive: 'PASSIVE',
  /** There was no answer. */
  Network: 'NETWORK',
  NetworkTimeout: 'NETWORK_TIMEOUT',
} as const;
export type FailureType = (typeof FailureType)[keyof typeof FailureType];

export interface Probe {
  /** Begins one check: one result follows, but not before this returns, unless `onTimeout` or `close` is called. */
  start(): void;
  /** The check that was begun is given up. */
  onTimeout(): void;
  close(): void;
}

export interface ProbeOwner {
  onSuccess(isDegraded: boolean): void;
  /** `isRetriable`: counts against the threshold, as a network failure does. `status`: of HTTP, 0 for none. */
  onFailure(type: FailureType, isRetriable: boolean, status: number): void;
  /** Before a failure: the host wants to be left out. */
  onImmediateFail(): void;
}

/** Does the text have these parts, in this order, with anything between them? */
export function hasParts(bytes: Buffer, parts: readonly Buffer[]): boolean {
  let from = 0;
  for (const part of parts) {
    const at = bytes.indexOf(part, from);
    if (at < 0) return false;
    from = at + part.length;
  }
  return true;
}
