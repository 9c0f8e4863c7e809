// One thing wrong with a configuration, and where. Everything that reads configuration collects these; `locate.ts` adds file and
// line afterwards, and only when there is something to print.

/** `error` refuses the configuration; `warning` and `note` are printed and let it pass (`--strict` raises chosen warnings). */
export type Severity = 'error' | 'warning' | 'note';

export interface ProblemDetails {
  /** Stable id of the rule that found it; it has a page `docs/rules/<id>.md`. Default: `invalid-config`. */
  readonly rule?: string;
  /** The offending value as the user wrote it. */
  readonly got?: unknown;
  /** What would have been accepted, in words: `a duration such as 0.25s`. */
  readonly expected?: string;
  /** How to repair it: `did you mean "port_value"?`. */
  readonly suggestion?: string;
  /** `key` points the caret at the field's name instead of at its value. */
  readonly point?: 'key' | 'value';
  /** The same problem in the words the real Envoy prints, where users grep for them. */
  readonly envoy?: string;
  readonly cause?: unknown;
}

/** `path` uses the proto field names: `static_resources.clusters[1].load_assignment`. `message` is path and problem together. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly path: string;
  readonly problem: string;
  readonly severity: Severity;
  readonly rule: string;
  readonly got: unknown;
  readonly expected: string | undefined;
  readonly suggestion: string | undefined;
  readonly point: 'key' | 'value';
  readonly envoy: string | undefined;
  /** Filled in by `locate`: 1-based line and column, and the text of that line. */
  file: string | undefined = undefined;
  line: number | undefined = undefined;
  column: number | undefined = undefined;

  constructor(path: string, problem: string, details: ProblemDetails = {}, severity: Severity = 'error') {
    super(
      path === '' ? problem : `${path}: ${problem}`,
      details.cause === undefined ? undefined : { cause: details.cause },
    );
    this.path = path;
    this.problem = problem;
    this.severity = severity;
    this.rule = details.rule ?? 'invalid-config';
    this.got = details.got;
    this.expected = details.expected;
    this.suggestion = details.suggestion;
    this.point = details.point ?? 'value';
    this.envoy = details.envoy;
  }
}
