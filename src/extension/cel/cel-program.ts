// A CEL expression that runs: over the attributes of a request, a response or a connection.
import type { CelInput, CelResult } from '@bufbuild/cel';
import { celLibrary } from '#base/cel-library.ts';
import type { CelOptions } from '#base/cel-problem.ts';
import type { FormatContext } from '../formatter.ts';
import { celAttributes } from './cel-attributes.ts';
import type { CelData } from './cel-config.ts';

type Run = (variables: Record<string, CelInput>) => CelResult;

export class CelProgram {
  readonly #run: Run;

  constructor({ text, options }: CelData) {
    const { parse, plan } = celLibrary();
    this.#run = plan(environment(options), parse(text)) as Run;
  }

  /** Undefined: an error, an attribute that is not there among them. */
  evaluate(context: CelContext): unknown {
    const value = this.#run(celAttributes(context));
    return celLibrary().isCelError(value) ? undefined : value;
  }

  /** As a condition. */
  holds(context: CelContext): boolean {
    return this.evaluate(context) === true;
  }
}

/** Where there is no request, its headers are undefined. */
export type CelContext = Pick<
  FormatContext,
  'info' | 'requestHeaders' | 'responseHeaders' | 'responseTrailers'
>;

const environments = new Map<string, unknown>();

/** What Envoy switches off is not there. */
function environment(options: CelOptions) {
  const key = JSON.stringify(options);
  let found = environments.get(key);
  if (found === undefined) {
    const { CelScalar, celEnv, celFunc, listType, strings } = celLibrary();
    const refuse = (): never => {
      throw new Error('no matching overload');
    };
    const lists = listType(CelScalar.DYN);
    found = celEnv({
      funcs: [
        ...(options.stringFunctions ? strings : []),
        ...(options.stringConcat
          ? []
          : [
              celFunc('_+_', [CelScalar.STRING, CelScalar.STRING], CelScalar.STRING, refuse),
              celFunc('_+_', [CelScalar.BYTES, CelScalar.BYTES], CelScalar.BYTES, refuse),
            ]),
        celFunc('_+_', [lists, lists], lists, refuse),
      ],
    });
    environments.set(key, found);
  }
  return found as ReturnType<ReturnType<typeof celLibrary>['celEnv']>;
}
