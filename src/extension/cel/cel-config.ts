// CEL expressions as plain data: their text, checked as Envoy checks it. What arrives as a tree is written down.
import { type CelOptions, celProblem, envoyCelProblem, plainCel } from '#base/cel-problem.ts';
import type { ParseContext } from '#config/parse-context.ts';
import type { CelExpressionConfig } from '#schema/messages/envoy/config/core/v3.ts';
import type { Expr as ExprMessage } from '#schema/messages/google/api/expr/v1alpha1.ts';
import type { CelExpression } from '#schema/messages/xds/type/v3.ts';
import { celText } from './cel-text.ts';

export interface CelData {
  readonly text: string;
  readonly options: CelOptions;
}

export function celOptions(message: CelExpressionConfig | undefined): CelOptions {
  if (message === undefined) return plainCel;
  return {
    stringConversion: message.enable_string_conversion,
    stringConcat: message.enable_string_concat,
    stringFunctions: message.enable_string_functions,
  };
}

/** Options as words, as formats list them beside commands of their formatters. */
export function celWords(options: CelOptions): string[] {
  return Object.entries(options).flatMap(([name, isOn]) => (isOn ? [`cel.${name}`] : []));
}

export function celOptionsOfWords(words: readonly string[]): CelOptions {
  return {
    stringConversion: words.includes('cel.stringConversion'),
    stringConcat: words.includes('cel.stringConcat'),
    stringFunctions: words.includes('cel.stringFunctions'),
  };
}

/** `at` stands on the text. `what`: as Envoy calls it. */
export function parseCel(
  text: string,
  options: CelOptions,
  at: ParseContext,
  what = 'expression',
): CelData | undefined {
  const problem = celProblem(text, options, what);
  if (problem === undefined) return { text, options };
  at.fail(problem, { got: text, envoy: envoyCelProblem(problem) });
  return undefined;
}

/** `at` stands on the tree. */
export function parseCelTree(
  message: ExprMessage,
  options: CelOptions,
  at: ParseContext,
): CelData | undefined {
  const text = celText(message);
  if (typeof text === 'string') return parseCel(text, options, at);
  at.fail(text.problem, { envoy: text.problem });
  return undefined;
}

export function parseCelExpression(message: CelExpression, at: ParseContext): CelData | undefined {
  for (const name of ['cel_expr_checked', 'cel_expr_parsed', 'checked_expr', 'parsed_expr'] as const) {
    const tree = message[name]?.expr;
    if (tree !== undefined) return parseCelTree(tree as ExprMessage, plainCel, at.field(name).field('expr'));
  }
  const problem = 'failed to create an expression: CEL expression not set.';
  const where = message.cel_expr_string === '' ? at : at.field('cel_expr_string');
  where.fail(`${problem} Envoy does not read cel_expr_string`, { envoy: problem });
  return undefined;
}
