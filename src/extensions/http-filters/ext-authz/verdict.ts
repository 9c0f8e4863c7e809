// What the authorization service said, whichever way it was asked, and the contract of asking.
import type { FormatContext } from '#extension/formatter.ts';
import { AppendAction } from '#extension/header-mutations.ts';
import type { CheckRequestInit } from '#schema/messages/envoy/service/auth/v3.ts';

export interface Checker {
  /** `onVerdict` is called once, perhaps before this returns. `context`: of the request, for headers with operators. */
  check(
    request: CheckRequestInit,
    context: FormatContext,
    onVerdict: (verdict: Verdict) => void,
  ): PendingCheck;
}

export interface PendingCheck {
  /** No verdict any more. */
  cancel(): void;
}

export const Outcome = { Allowed: 0, Denied: 1, Error: 2 } as const;
export type Outcome = (typeof Outcome)[keyof typeof Outcome];

export interface HeaderChange {
  /** Lower-case. */
  readonly name: string;
  /** Latin1, as headers are. */
  readonly value: string;
  readonly action: AppendAction;
  /** Joined to the value that is there; nothing when there is none. */
  readonly joins: boolean;
}

export interface Verdict {
  readonly outcome: Outcome;
  /** Of an allowed request. */
  readonly requestHeaders: readonly HeaderChange[];
  readonly headersToRemove: readonly string[];
  readonly queryToSet: readonly { readonly key: string; readonly value: string }[];
  readonly queryToRemove: readonly string[];
  /** For the response to an allowed request. */
  readonly responseHeaders: readonly HeaderChange[];
  /** For the answer to a denied one; 0: what the filter is configured to say. */
  readonly status: number;
  readonly body: string;
  readonly localHeaders: readonly HeaderChange[];
  readonly metadata: Readonly<Record<string, unknown>> | undefined;
  /** A header with an action that nobody knows was among them. */
  readonly sawInvalidAction: boolean;
}

export function verdictOf(given: Partial<Verdict> & { readonly outcome: Outcome }): Verdict {
  return { ...nothing, ...given };
}

const nothing: Verdict = {
  outcome: Outcome.Error,
  requestHeaders: [],
  headersToRemove: [],
  queryToSet: [],
  queryToRemove: [],
  responseHeaders: [],
  status: 0,
  body: '',
  localHeaders: [],
  metadata: undefined,
  sawInvalidAction: false,
};

export function headerChange(
  name: string,
  value: string,
  action: AppendAction = AppendAction.OverwriteIfExistsOrAdd,
): HeaderChange {
  return { name: name.toLowerCase(), value, action, joins: false };
}
