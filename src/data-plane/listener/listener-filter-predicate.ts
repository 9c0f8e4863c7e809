// `filter_disabled`: connections that a listener filter leaves alone, by the port they came to.

import { portOfAddress } from '#base/cidr.ts';
import type { ParseContext } from '#config/parse-context.ts';
import type { ConnectionInfo } from '#extension/stream-info.ts';
import type { ListenerFilterChainMatchPredicate } from '#schema/messages/envoy/config/listener/v3.ts';

export type ListenerFilterPredicate =
  | { readonly kind: 'any' }
  | { readonly kind: 'not'; readonly rule: ListenerFilterPredicate }
  | { readonly kind: 'and' | 'or'; readonly rules: readonly ListenerFilterPredicate[] }
  /** `end` is not included. */
  | { readonly kind: 'port'; readonly start: number; readonly end: number };

export function parseListenerFilterPredicate(
  message: ListenerFilterChainMatchPredicate,
  at: ParseContext,
): ListenerFilterPredicate {
  const { or_match, and_match, not_match, destination_port_range: range } = message;
  const rules = (set: { readonly rules: readonly ListenerFilterChainMatchPredicate[] }, field: string) =>
    set.rules.map((it, i) => parseListenerFilterPredicate(it, at.field(field).field('rules', i)));
  if (or_match !== undefined) return { kind: 'or', rules: rules(or_match, 'or_match') };
  if (and_match !== undefined) return { kind: 'and', rules: rules(and_match, 'and_match') };
  if (not_match !== undefined)
    return { kind: 'not', rule: parseListenerFilterPredicate(not_match, at.field('not_match')) };
  if (range !== undefined) return { kind: 'port', start: range.start, end: range.end };
  return { kind: 'any' };
}

export function compileListenerFilterPredicate(
  data: ListenerFilterPredicate,
): (info: ConnectionInfo) => boolean {
  switch (data.kind) {
    case 'any':
      return () => true;
    case 'not': {
      const rule = compileListenerFilterPredicate(data.rule);
      return (info) => !rule(info);
    }
    case 'port':
      return ({ localAddress }) => {
        const port = portOfAddress(localAddress);
        return data.start <= port && port < data.end;
      };
    case 'and':
    case 'or': {
      const rules = data.rules.map(compileListenerFilterPredicate);
      return data.kind === 'and'
        ? (info) => rules.every((it) => it(info))
        : (info) => rules.some((it) => it(info));
    }
  }
}
