// Where a parser stands in a configuration, and the list its problems go to. Every extension's `parse(message, at)` gets one.
// Cheap on purpose: a child is one small object, and the path is only spelled out when somebody complains.

import { ConfigError, type ProblemDetails } from './config-error.ts';

export class ParseContext {
  readonly problems: ConfigError[];
  readonly #parent: ParseContext | undefined;
  readonly #step: string | number;
  readonly #isMapKey: boolean;

  /** `path` is where the parsed message itself stands: `''` for a whole file or a test. The last two are for children only. */
  constructor(
    path: string,
    problems: ConfigError[],
    parent?: ParseContext,
    step: string | number = path,
    isMapKey = false,
  ) {
    this.problems = problems;
    this.#parent = parent;
    this.#step = step;
    this.#isMapKey = isMapKey;
  }

  /** The context of a field by its proto name, or of one element of a repeated field: `at.field('routes', 3)`. */
  field(name: string, index?: number): ParseContext {
    const field = new ParseContext('', this.problems, this, name);
    return index === undefined ? field : field.index(index);
  }

  /** The context of one element, for a context that already stands on the repeated field. */
  index(index: number): ParseContext {
    return new ParseContext('', this.problems, this, index);
  }

  /** The context of one value of a map: `at.field('typed_per_filter_config').key('envoy.filters.http.cors')`. */
  key(mapKey: string): ParseContext {
    return new ParseContext('', this.problems, this, mapKey, true);
  }

  /** `static_resources.listeners[0].filter_chains[0].filters[0].typed_config.http_filters[1]` */
  get path(): string {
    const parent = this.#parent;
    if (parent === undefined) return String(this.#step);
    const before = parent.path;
    if (typeof this.#step === 'number') return `${before}[${this.#step}]`;
    if (this.#isMapKey) return `${before}[${JSON.stringify(this.#step)}]`;
    return before === '' ? this.#step : `${before}.${this.#step}`;
  }

  /** Refuses the configuration: `here.fail('must be at most 65535', { got: 70000 })`. Parsing goes on, to find the rest. */
  fail(problem: string, details?: ProblemDetails): void {
    this.problems.push(new ConfigError(this.path, problem, details, 'error'));
  }

  /** Says something without refusing. `--strict` may turn it into an error, by the rule's id. */
  warn(problem: string, details?: ProblemDetails): void {
    this.problems.push(new ConfigError(this.path, problem, details, 'warning'));
  }

  /** A field or a value that Envoy knows and chancery does not implement: refused by name, never silently ignored. */
  unsupported(what = 'is not supported by chancery', details?: ProblemDetails): void {
    this.fail(what, { rule: 'unsupported', ...details });
  }

  /** True when nothing that refuses has been found so far. */
  get ok(): boolean {
    return !this.problems.some((it) => it.severity === 'error');
  }
}
