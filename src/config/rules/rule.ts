// How a rule is written: a function per message type, which finds every message of that type wherever it is packed.

import type { MessageTypes } from '#schema/messages/type-map.ts';
import type { Surroundings, Visitor } from '../check-message.ts';
import type { ParseContext } from '../parse-context.ts';
import type { RuleScope } from './scope.ts';

export interface Rule {
  readonly type: keyof MessageTypes;
  readonly visitor: (scope: RuleScope) => Visitor;
}

export function rule<N extends keyof MessageTypes>(
  type: N,
  check: (message: MessageTypes[N], at: ParseContext, scope: RuleScope, around: Surroundings) => void,
): Rule {
  return {
    type,
    visitor: (scope) => (message, at, around) =>
      check(message as unknown as MessageTypes[N], at, scope, around),
  };
}

/** Milliseconds of a duration. */
export function milliseconds(duration: { readonly seconds: number; readonly nanos: number }): number {
  return duration.seconds * 1000 + duration.nanos / 1e6;
}

export function seconds(ms: number): string {
  return `${ms / 1000}s`;
}
