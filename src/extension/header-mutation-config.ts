// Header mutations: from messages to plain data, and from there to what runs.
import { latin1OfUtf8 } from '#base/utf8.ts';
import { translatedHeaderFormat } from '#http/header-format.ts';
import type { ParseContext } from '#config/parse-context.ts';
import { headerField } from '#http/header-field.ts';
import { isJoinedInRequests, isJoinedInResponses } from '#http/header-names.ts';
import type { HeaderMutation } from '#schema/messages/envoy/config/common/mutation_rules/v3.ts';
import type { HeaderValueOption } from '#schema/messages/envoy/config/core/v3.ts';
import { checkFormat } from './format-config.ts';
import {
  AppendAction,
  type HeaderMutations,
  HeaderStepList,
  type HeaderWrite,
  LevelHeaderMutations,
} from './header-mutations.ts';
import { compileStringMatcher } from './matchers/compile.ts';
import type { StringMatcherData } from './matchers/matcher-config.ts';
import { parseStringMatcher } from './matchers/parse.ts';
import { compileFormat, literalText } from './substitution/compile.ts';

export type HeaderMutationData =
  | { readonly kind: 'remove'; readonly name: string }
  | { readonly kind: 'remove_matching'; readonly names: StringMatcherData }
  | {
      readonly kind: 'write';
      /** Lower-case. */
      readonly name: string;
      /** A substitution format string. */
      readonly value: string;
      readonly action: AppendAction;
      readonly keepEmptyValue: boolean;
      /** Of formatters. */
      readonly commands: readonly string[];
    };

/** The lists `<side>_headers_to_add` and `<side>_headers_to_remove` of a message; `at` stands on the message. */
export function parseHeadersToAddAndRemove(
  side: 'request' | 'response',
  add: readonly HeaderValueOption[],
  remove: readonly string[],
  at: ParseContext,
): HeaderMutationData[] {
  const data: HeaderMutationData[] = [];
  remove.forEach((name, i) => {
    if (name.startsWith(':') || name.toLowerCase() === 'host')
      refuse(at.field(`${side}_headers_to_remove`, i), ':-prefixed or host headers may not be removed', name);
    data.push({ kind: 'remove', name: name.toLowerCase() });
  });
  add.forEach((option, i) => {
    const here = at.field(`${side}_headers_to_add`, i);
    const name = option.header?.key ?? '';
    if (name.startsWith(':') || name.toLowerCase() === 'host')
      refuse(here.field('header').field('key'), ':-prefixed or host headers may not be modified', name);
    data.push(parseHeaderValueOption(option, here));
  });
  return data;
}

function refuse(at: ParseContext, problem: string, got: string): void {
  at.fail(problem, { got, envoy: problem });
}

/** A list of `config.common.mutation_rules.v3.HeaderMutation` in the field `name`: may write pseudo-headers. */
export function parseHeaderMutations(
  messages: readonly HeaderMutation[],
  at: ParseContext,
  name: string,
  commands: readonly string[] = [],
): HeaderMutationData[] {
  return messages.flatMap((message, i): HeaderMutationData[] => {
    const here = at.field(name, i);
    if (message.remove !== undefined) return [{ kind: 'remove', name: message.remove.toLowerCase() }];
    if (message.append !== undefined)
      return [parseHeaderValueOption(message.append, here.field('append'), commands)];
    if (message.remove_on_match?.key_matcher !== undefined) {
      const key = here.field('remove_on_match').field('key_matcher');
      return [
        { kind: 'remove_matching', names: parseStringMatcher(message.remove_on_match.key_matcher, key) },
      ];
    }
    here.fail('needs one of: remove, append, remove_on_match');
    return [];
  });
}

const actions = {
  APPEND_IF_EXISTS_OR_ADD: AppendAction.AppendIfExistsOrAdd,
  ADD_IF_ABSENT: AppendAction.AddIfAbsent,
  OVERWRITE_IF_EXISTS_OR_ADD: AppendAction.OverwriteIfExistsOrAdd,
  OVERWRITE_IF_EXISTS: AppendAction.OverwriteIfExists,
} as const;

export function parseHeaderValueOption(
  option: HeaderValueOption,
  at: ParseContext,
  commands: readonly string[] = [],
): HeaderMutationData & { kind: 'write' } {
  const { header } = option;
  if (header !== undefined && header.raw_value.length > 0)
    at.field('header').field('raw_value').warn('has no effect, in Envoy neither');
  const value = translatedHeaderFormat(header?.value ?? '');
  checkFormat(value, at.field('header').field('value'), commands);
  let action: AppendAction = actions[option.append_action];
  if (option.append !== undefined) {
    const problem = "Both append and append_action are set and it's not allowed";
    if (option.append_action !== 'APPEND_IF_EXISTS_OR_ADD')
      refuse(at.field('append'), problem, String(option.append));
    action = option.append ? AppendAction.AppendIfExistsOrAdd : AppendAction.OverwriteIfExistsOrAdd;
  }
  return {
    kind: 'write',
    name: latin1OfUtf8(header?.key ?? '').toLowerCase(),
    value,
    action,
    keepEmptyValue: option.keep_empty_value,
    commands,
  };
}

/** One level of a route configuration: removals first, overwriting before adding. Null when there is nothing to do. */
export function compileLevel(data: readonly HeaderMutationData[]): HeaderMutations | null {
  if (data.length === 0) return null;
  const removed: string[] = [];
  const written: HeaderWrite[] = [];
  for (const it of data) {
    if (it.kind === 'remove') removed.push(it.name);
    else if (it.kind === 'write') written.push(compileWrite(it));
  }
  return new LevelHeaderMutations(removed, written);
}

/** A list applied in its own order. Null when it is empty. */
export function compileSteps(data: readonly HeaderMutationData[]): HeaderMutations | null {
  if (data.length === 0) return null;
  return new HeaderStepList(
    data.map((it) => ({
      removed: it.kind === 'remove' ? it.name : '',
      removedIf: it.kind === 'remove_matching' ? compileStringMatcher(it.names) : null,
      write: it.kind === 'write' ? compileWrite(it) : null,
    })),
  );
}

function compileWrite(data: HeaderMutationData & { kind: 'write' }): HeaderWrite {
  const literal = literalText(data.value);
  return {
    name: data.name,
    field: headerField(data.name),
    action: data.action,
    value: literal ?? '',
    formatter:
      literal === undefined
        ? compileFormat(data.value, { omitEmptyValues: true, extensions: data.commands })
        : null,
    keepEmptyValue: data.keepEmptyValue,
    joinsInRequests: isJoinedInRequests(data.name),
    joinsInResponses: isJoinedInResponses(data.name),
  };
}
