// What is wrong with the text of a CEL expression. Envoy runs expressions without loops, and leaves out what can make much of little.
import { type CelLibrary, celLibrary } from './cel-library.ts';
import { regexProblem } from './regex.ts';

/** What `CelExpressionConfig` switches on. */
export interface CelOptions {
  readonly stringConversion: boolean;
  readonly stringConcat: boolean;
  readonly stringFunctions: boolean;
}

/** What Envoy says of it; where it is about syntax, only how that begins. */
export function envoyCelProblem(problem: string): string {
  return problem.startsWith('Not able') ? problem.slice(0, problem.indexOf(':')) : problem;
}

export const plainCel: CelOptions = {
  stringConversion: false,
  stringConcat: false,
  stringFunctions: false,
};

/** In Envoy's words where it has some. */
export function celProblem(text: string, options: CelOptions, what = 'expression'): string | undefined {
  const { parse } = celLibrary();
  try {
    const problem = callProblem(parse(text).expr, options);
    return problem && `failed to create an expression: ${problem}`;
  } catch (error) {
    return `Not able to parse ${what}: INVALID_ARGUMENT: ERROR: ${(error as Error).message}`;
  }
}

type Expr = ReturnType<CelLibrary['parse']>['expr'];

const functions = new Set(
  `size matches startsWith endsWith contains type dyn int uint double bool bytes timestamp duration getFullYear getMonth
  getDate getDayOfMonth getDayOfWeek getDayOfYear getHours getMinutes getSeconds getMilliseconds`.split(
    /\s+/,
  ),
);
const stringFunctions = new Set(
  'charAt indexOf join lastIndexOf lowerAscii upperAscii replace split substring trim'.split(' '),
);

function callProblem(expr: Expr | undefined, options: CelOptions): string | undefined {
  const kind = expr?.exprKind;
  const first = (some: readonly (Expr | undefined)[]): string | undefined => {
    for (const it of some) {
      const problem = callProblem(it, options);
      if (problem !== undefined) return problem;
    }
    return undefined;
  };
  switch (kind?.case) {
    case 'comprehensionExpr':
      return 'Comprehension support is disabled';
    case 'selectExpr':
      return callProblem(kind.value.operand, options);
    case 'listExpr':
      return first(kind.value.elements);
    case 'structExpr':
      return first(
        kind.value.entries.flatMap((it) => [
          it.keyKind.case === 'mapKey' ? it.keyKind.value : undefined,
          it.value,
        ]),
      );
    case 'callExpr': {
      const { function: name, target, args } = kind.value;
      const isKnown =
        /^[^a-zA-Z]/.test(name) ||
        functions.has(name) ||
        (options.stringConversion && name === 'string') ||
        (options.stringFunctions && stringFunctions.has(name));
      if (!isKnown) return `No overload found in reference resolve step for ${name}`;
      const pattern = name === 'matches' ? args.at(-1)?.exprKind : undefined;
      if (pattern?.case === 'constExpr' && pattern.value.constantKind.case === 'stringValue') {
        const problem = regexProblem(pattern.value.constantKind.value);
        if (problem !== undefined) return `invalid regular expression: ${problem}`;
      }
      return first([target, ...args]);
    }
  }
  return undefined;
}
