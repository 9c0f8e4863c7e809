// Problems as text with the line and a caret, as JSON, as SARIF 2.1.0 for code scanners, and as annotations of GitHub Actions.

import type { ConfigError, Severity } from './config-error.ts';
import { lineText, type Source } from './locate.ts';
import { ruleCatalog } from './rule-catalog.ts';

export type ProblemFormat = 'text' | 'json' | 'sarif' | 'github';

export interface FormatOptions {
  /** For colours in a terminal. Default: none. */
  readonly color?: boolean;
}

export function formatProblems(
  problems: readonly ConfigError[],
  sources: readonly Source[],
  format: ProblemFormat = 'text',
  options: FormatOptions = {},
): string {
  switch (format) {
    case 'json':
      return `${JSON.stringify({ problems: problems.map(plainProblem) }, undefined, 2)}\n`;
    case 'sarif':
      return `${JSON.stringify(sarif(problems), undefined, 2)}\n`;
    case 'github':
      return problems.map(githubAnnotation).join('');
    case 'text':
      return problems.map((it) => text(it, sources, options.color === true)).join('\n');
  }
}

/** What a problem is in machine-readable output. */
export function plainProblem(it: ConfigError): Record<string, unknown> {
  return {
    rule: it.rule,
    severity: it.severity,
    file: it.file,
    line: it.line,
    column: it.column,
    path: it.path,
    problem: it.problem,
    got: printable(it.got),
    expected: it.expected,
    suggestion: it.suggestion,
    envoy: it.envoy,
  };
}

function printable(value: unknown): unknown {
  if (typeof value === 'bigint') return String(value);
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? '[...]' : '{...}';
  return value;
}

const colors: Readonly<Record<Severity, string>> = {
  error: '\x1b[31m',
  warning: '\x1b[33m',
  note: '\x1b[36m',
};

/*
 envoy.yaml:14:9: error: no such field: "adress" in envoy.config.core.v3.SocketAddress [unknown-field]
   14 |         adress: 127.0.0.1
      |         ^^^^^^
   at static_resources.listeners[0].address.socket_address.adress
   expected one of protocol, address, ...
   did you mean "address"?
*/
function text(it: ConfigError, sources: readonly Source[], color: boolean): string {
  const paint = (code: string, words: string) => (color ? `${code}${words}\x1b[0m` : words);
  const where = it.line === undefined ? (it.file ?? '') : `${it.file}:${it.line}:${it.column}`;
  const head = `${where === '' ? '' : `${paint('\x1b[1m', where)}: `}${paint(colors[it.severity], it.severity)}: ${it.problem} [${it.rule}]\n`;
  let body = '';
  if (it.line !== undefined) {
    const source = sources.find((source) => source.file === it.file);
    if (source !== undefined) body += excerpt(source.text, it, (words) => paint(colors[it.severity], words));
  }
  if (it.path !== '') body += `  at ${it.path}\n`;
  if (it.expected !== undefined && !it.problem.includes(it.expected)) body += `  expected ${it.expected}\n`;
  if (it.suggestion !== undefined) body += `  ${paint('\x1b[32m', it.suggestion)}\n`;
  if (it.envoy !== undefined) body += `  Envoy says: ${it.envoy}\n`;
  return head + body;
}

/** The line with a caret below; long lines are cut around the place. */
function excerpt(source: string, it: ConfigError, paint: (words: string) => string): string {
  let line = lineText(source, it.line!);
  let column = it.column!;
  if (line.length > 140) {
    const from = Math.max(0, column - 70);
    line = `${from > 0 ? '...' : ''}${line.slice(from, from + 130)}...`;
    column -= from - (from > 0 ? 3 : 0);
  }
  const number = String(it.line).padStart(5);
  // Tabs stay tabs, so that the caret stands right whatever their width.
  const indent = line.slice(0, column - 1).replace(/[^\t]/g, ' ');
  const width = /^(?:"(?:[^"\\]|\\.)*"|'[^']*'|[^\s,\]}#:]+)/.exec(line.slice(column - 1))?.[0].length ?? 1;
  return `${number} | ${line}\n      | ${indent}${paint('^'.repeat(Math.max(1, width)))}\n`;
}

function githubAnnotation(it: ConfigError): string {
  const level = it.severity === 'note' ? 'notice' : it.severity;
  const place = it.line === undefined ? '' : `,line=${it.line},col=${it.column}`;
  const file = it.file === undefined ? '' : `file=${escapeProperty(it.file)}${place},`;
  const message = [it.problem, it.path === '' ? '' : `at ${it.path}`, it.suggestion ?? '']
    .filter((words) => words !== '')
    .join('\n');
  return `::${level} ${file}title=${escapeProperty(it.rule)}::${escapeData(message)}\n`;
}

function escapeData(words: string): string {
  return words.replace(/%/g, '%25').replace(/\r/g, '%0D').replace(/\n/g, '%0A');
}

function escapeProperty(words: string): string {
  return escapeData(words).replace(/:/g, '%3A').replace(/,/g, '%2C');
}

function sarif(problems: readonly ConfigError[]): unknown {
  const ids = [...new Set(problems.map((it) => it.rule))].sort();
  const rules = ids.map((id) => ({
    id,
    shortDescription: { text: ruleCatalog[id]?.title ?? id },
    help: { text: `see docs/rules/${id}.md` },
    defaultConfiguration: { level: ruleCatalog[id]?.severity ?? 'error' },
  }));
  const results = problems.map((it) => ({
    ruleId: it.rule,
    ruleIndex: ids.indexOf(it.rule),
    level: it.severity,
    message: { text: it.suggestion === undefined ? it.message : `${it.message} (${it.suggestion})` },
    locations: it.file === undefined ? [] : [sarifLocation(it)],
  }));
  return {
    $schema: 'https://json.schemastore.org/sarif-2.1.0.json',
    version: '2.1.0',
    runs: [{ tool: { driver: { name: 'chancery', rules } }, columnKind: 'utf16CodeUnits', results }],
  };
}

function sarifLocation(it: ConfigError): unknown {
  return {
    physicalLocation: {
      artifactLocation: { uri: encodeURI(it.file!) },
      ...(it.line !== undefined && { region: { startLine: it.line, startColumn: it.column } }),
    },
    logicalLocations: [{ fullyQualifiedName: it.path }],
  };
}
