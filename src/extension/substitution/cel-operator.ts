// `%CEL(expression)%` and `%TYPED_CEL(expression)%`.
import type { CelData } from '../cel/cel-config.ts';
import { CelProgram } from '../cel/cel-program.ts';
import { celToJson, celToText } from '../cel/cel-value.ts';
import type { FormatContext } from '../formatter.ts';
import type { Operator } from './operator.ts';

export class CelOperator implements Operator {
  readonly isStruct = true;
  readonly #program: CelProgram;
  readonly #isTyped: boolean;

  constructor(data: CelData, isTyped: boolean) {
    this.#program = new CelProgram(data);
    this.#isTyped = isTyped;
  }

  text(context: FormatContext): string | undefined {
    const value = this.#program.evaluate(context);
    return value === undefined ? undefined : celToText(value);
  }

  value(context: FormatContext): unknown {
    const value = this.#program.evaluate(context);
    if (value === undefined) return undefined;
    return this.#isTyped ? celToJson(value) : celToText(value);
  }
}
