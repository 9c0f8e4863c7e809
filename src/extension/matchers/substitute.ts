// `RegexMatchAndSubstitute`: a pattern and what replaces its matches.
import { parseSubstitution, substitutionProblem } from '#base/regex.ts';
import { latin1OfUtf8 } from '#base/utf8.ts';
import type { ParseContext } from '#config/parse-context.ts';
import type { RegexMatchAndSubstitute } from '#schema/messages/envoy/type/matcher/v3.ts';
import { sharedRegex } from './compile.ts';
import { parseRegex } from './parse.ts';

export interface RegexRewriteData {
  readonly regex: string;
  readonly substitution: string;
}

/** `RegexMatchAndSubstitute`, compiled: every match replaced. */
export interface RegexRewrite {
  replace(text: string): string;
}

/** Both are checked. */
export function parseSubstitute(
  message: RegexMatchAndSubstitute | undefined,
  at: ParseContext,
): RegexRewriteData | undefined {
  if (message === undefined) return undefined;
  const before = at.problems.length;
  const regex = parseRegex(message.pattern ?? { regex: '' }, at.field('pattern'));
  const problem = at.problems.length > before ? undefined : substitutionProblem(regex, message.substitution);
  if (problem === undefined) return { regex, substitution: latin1OfUtf8(message.substitution) };
  at.field('substitution').warn(problem, { got: message.substitution });
  // Too many groups: every match is replaced by itself.
  const substitution = problem.startsWith('names') ? '\\0' : latin1OfUtf8(message.substitution);
  return { regex, substitution };
}

export function compileSubstitute(data: RegexRewriteData): RegexRewrite {
  const regex = sharedRegex(data.regex);
  const substitution = parseSubstitution(data.substitution);
  return { replace: (text) => regex.replaceAll(text, substitution) };
}
