// The door to this room: files in, a checked message and every problem out.
//
//   const loaded = await loadBootstrap({ file: 'envoy.yaml', yaml: '<--config-yaml>' }, options);
//   process.stderr.write(formatProblems(loaded.problems, loaded.sources, 'text'));
//   if (loaded.ok) start(loaded.bootstrap);
//
//   const { problems, sources, ok } = await validateFiles(['envoy.yaml', 'eds.yaml', '-'], options);
//
// `problems` has errors, warnings and notes in the order of file and line. `problem.envoy` is what the real Envoy prints about it.

import { readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { decodeMessage } from '#schema/binary.ts';
import type { Message, MessageType } from '#schema/descriptor.ts';
import { message as messageType } from '#schema/registry.ts';
import { provideSelfImport } from '#schema/self-import.ts';
import { checkMessage } from './check-message.ts';
import { ConfigError } from './config-error.ts';
import { parseJson } from './json-text.ts';
import { locate, type Source } from './locate.ts';
import { mergeMessage } from './merge-message.ts';
import { readProtoText } from './proto-text.ts';
import { readMessage } from './read-message.ts';
import { isStrictRule } from './rule-catalog.ts';
import { RuleScope } from './rules/scope.ts';
import { visitorsOf } from './rules/visitors.ts';
import { SyntaxProblem, type Tree, TreeList, TreeMap } from './tree.ts';
import { treeOf } from './tree-of.ts';
import { parseYaml } from './yaml.ts';

export interface LoadOptions {
  /** `--allow-unknown-static-fields`: unknown fields in a bootstrap only warn. */
  readonly allowUnknownStaticFields?: boolean;
  /** `--reject-unknown-dynamic-fields`: unknown fields in discovery files are errors; by default they warn. */
  readonly rejectUnknownDynamicFields?: boolean;
  /** `--ignore-unknown-dynamic-fields`: not even a warning. */
  readonly ignoreUnknownDynamicFields?: boolean;
  /** `--skip-deprecated-logs` */
  readonly skipDeprecatedLogs?: boolean;
  /** `--service-node`, `--service-cluster`: stand in for `node.id` and `node.cluster`. */
  readonly serviceNode?: string;
  readonly serviceCluster?: string;
  /** Warnings about configurations that Envoy should refuse become errors. */
  readonly strict?: boolean;
  /** What standard input holds, for the file `-`. Default: read it. */
  readonly stdin?: Buffer;
  /** Today, for certificates. Default: now. */
  readonly now?: Date;
}

export interface Validated {
  readonly problems: readonly ConfigError[];
  readonly sources: readonly Source[];
  /** No errors; warnings do not count. */
  readonly ok: boolean;
}

export interface LoadedBootstrap extends Validated {
  /** Everything that could be read, with `--config-yaml` merged in. Only to be used when `ok`. */
  readonly bootstrap: Message;
}

const bootstrapName: string = 'envoy.config.bootstrap.v3.Bootstrap';
const discoveryResponseName: string = 'envoy.service.discovery.v3.DiscoveryResponse';
/** Larger than any configuration and small enough to be read. */
const maxFileBytes = 32 * 1024 * 1024;

/** `-c` and `--config-yaml`; at least one of them. */
export async function loadBootstrap(
  input: { readonly file?: string | undefined; readonly yaml?: string | undefined },
  options: LoadOptions = {},
): Promise<LoadedBootstrap> {
  const problems: ConfigError[] = [];
  const sources: Source[] = [];
  const type = messageType(bootstrapName)!;
  const unknownFields = options.allowUnknownStaticFields === true ? 'warning' : 'error';
  let bootstrap = type.create() as Message;
  if (input.file !== undefined && input.file !== '') {
    const text = await openText(input.file, type, problems, options);
    if (text !== undefined) sources.push(text.source);
    if (text !== undefined && !text.isBroken) {
      bootstrap = readSource(text, type, problems, unknownFields);
    }
  }
  if (input.yaml !== undefined && input.yaml.trim() !== '') {
    const text = parseText('--config-yaml', Buffer.from(input.yaml), 'yaml', problems);
    sources.push(text.source);
    if (!text.isBroken) {
      mergeMessage(type, bootstrap, readSource(text, type, problems, unknownFields));
    }
  }
  if (sources.length > 0) check([{ type, message: bootstrap, path: '', sources }], problems, options);
  return { bootstrap, ...finish(problems, sources, options) };
}

/** Files of any kind together: references from one to another are followed. */
export async function validateFiles(files: readonly string[], options: LoadOptions = {}): Promise<Validated> {
  const problems: ConfigError[] = [];
  const sources: Source[] = [];
  const units: Unit[] = [];
  for (const file of files) {
    const text = await openText(file, undefined, problems, options);
    if (text === undefined) continue;
    sources.push(text.source);
    if (!text.isBroken) units.push(readUnit(text, problems, options));
  }
  check(units, problems, options);
  return finish(problems, sources, options);
}

/** Checks a message that was not read from a text: a resource from xDS, or one built by a program. */
export function checkResource(
  type: MessageType,
  message: Message,
  problems: ConfigError[],
  options: LoadOptions = {},
): void {
  const scope = new RuleScope(options);
  scope.add(type, message, false);
  checkMessage(type, message, problems, '', {
    skipDeprecated: options.skipDeprecatedLogs === true,
    visitors: visitorsOf(scope),
  });
}

/** A message with where it came from. */
interface Unit {
  readonly type: MessageType;
  readonly message: Message;
  readonly path: string;
  readonly sources: readonly Source[];
}

interface Text {
  readonly source: Source;
  /** Set when the file was binary. */
  readonly message?: Message;
  /** There is no tree: the problems say why. */
  readonly isBroken?: boolean;
}

async function openText(
  file: string,
  type: MessageType | undefined,
  problems: ConfigError[],
  options: LoadOptions,
): Promise<Text | undefined> {
  const fail = (problem: string, rule: string, suggestion?: string): undefined => {
    const error = new ConfigError('', problem, {
      rule,
      envoy: problem,
      ...(suggestion !== undefined && { suggestion }),
    });
    error.file = file;
    problems.push(error);
  };
  if (/\.[cm]?[jt]s$/.test(file)) return openModule(file, fail);
  let bytes: Buffer;
  try {
    if (file === '-') bytes = options.stdin ?? readFileSync(0);
    else {
      const { size } = statSync(file);
      if (size > maxFileBytes)
        return fail(`the file has ${size} bytes, more than ${maxFileBytes}`, 'too-large');
      bytes = readFileSync(file);
    }
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT') return fail(`Invalid path: ${file}`, 'unreadable-file', 'the file does not exist');
    return fail(`Invalid path: ${file}`, 'unreadable-file', (error as Error).message);
  }
  if (bytes.length > maxFileBytes)
    return fail(`the file has ${bytes.length} bytes, more than ${maxFileBytes}`, 'too-large');
  const extension = /\.([^./]+)$/.exec(file)?.[1]?.toLowerCase();
  if (extension === 'pb') return openBinary(file, bytes, type ?? messageType(bootstrapName)!, fail);
  if (extension === 'pb_text') {
    const { text, isValid } = decodeText(file, bytes, problems);
    if (isValid) return readProtoText(file, text, type ?? messageType(bootstrapName)!, problems);
    return { source: { file, text, tree: null, start: 0 }, isBroken: true };
  }
  if (file === '-')
    return parseText(
      file,
      bytes,
      bytes.toString('utf8').trimStart().startsWith('{') ? 'json' : 'yaml',
      problems,
    );
  return parseText(file, bytes, extension === 'yaml' || extension === 'yml' ? 'yaml' : 'json', problems);
}

async function openModule(
  file: string,
  fail: (problem: string, rule: string, hint?: string) => undefined,
): Promise<Text | undefined> {
  let exported: unknown;
  try {
    provideSelfImport();
    exported = await import(pathToFileURL(resolve(file)).href);
  } catch (error) {
    return fail(`cannot run ${file}: ${(error as Error).message}`, 'unreadable-file');
  }
  const { default: value, bootstrap } = exported as { default?: unknown; bootstrap?: unknown };
  let config = value ?? bootstrap;
  if (typeof config === 'function') config = await (config as () => unknown)();
  if (typeof config !== 'object' || config === null) {
    return fail(
      `${file} exports no configuration`,
      'unreadable-file',
      'write "export default bootstrap({...})"',
    );
  }
  try {
    return { source: { file, text: '', tree: treeOf(config), start: -1 } };
  } catch (error) {
    if (!(error instanceof SyntaxProblem)) throw error;
    return fail(error.message, 'invalid-value');
  }
}

function openBinary(
  file: string,
  bytes: Uint8Array,
  type: MessageType,
  fail: (problem: string, rule: string) => undefined,
): Text | undefined {
  const unknown: string[] = [];
  let message: Message;
  try {
    message = decodeMessage(type, bytes, {
      onUnknownField: (path, number) =>
        unknown.push(`${path === '' ? '(root)' : path} with unknown field set {${number}}`),
    });
  } catch (error) {
    return fail(
      `Unable to parse file "${file}" as a binary protobuf (type ${type.name}): ${(error as Error).message}`,
      'syntax',
    );
  }
  for (const it of unknown)
    fail(`Protobuf message (type ${type.name} ${it}) has unknown fields`, 'unknown-field');
  return { source: { file, text: '', tree: null, start: -1 }, message };
}

/** Bytes -> tree, with the remarks that only the text can cause. */
function parseText(file: string, bytes: Buffer, syntax: 'yaml' | 'json', problems: ConfigError[]): Text {
  const { text, isValid } = decodeText(file, bytes, problems);
  const broken: Text = { source: { file, text, tree: null, start: 0 }, isBroken: true };
  if (!isValid) return broken;
  const add = (
    problem: string,
    at: number,
    rule: string,
    severity: 'error' | 'warning',
    details: { suggestion?: string; envoy?: string },
  ) => {
    const error = new ConfigError('', problem, { rule, ...details }, severity);
    locateAt(error, { file, text, tree: null, start: 0 }, at);
    problems.push(error);
  };
  try {
    if (syntax === 'json') {
      const { tree, start } = parseJson(text);
      return { source: { file, text, tree, start } };
    }
    const document = parseYaml(text);
    for (const { key, at } of document.duplicates) {
      add(`"${key}" stands twice in this map: only the last one counts`, at, 'duplicate-key', 'warning', {
        suggestion: 'remove one of them',
      });
    }
    if (document.openQuoteAt !== undefined) {
      add(
        'this quote is never closed: it takes all the rest of the file',
        document.openQuoteAt,
        'open-quote',
        'warning',
        {
          suggestion: 'close the quote',
        },
      );
    }
    if (document.ignoredFrom !== undefined) {
      const what = document.ignoresDocument
        ? 'only the first document of a file is read: this one is ignored'
        : 'everything from here on is ignored: this line is indented less than the first one';
      add(what, document.ignoredFrom, 'ignored-content', 'warning', {});
    }
    if (document.tree instanceof TreeMap || document.tree instanceof TreeList) {
      return { source: { file, text, tree: document.tree, start: document.start } };
    }
    add('the file has no configuration in it', 0, 'empty-file', 'error', {
      suggestion: 'write {} for an empty one',
      envoy: `Unable to convert YAML as JSON: ${text.slice(0, 200)}`,
    });
  } catch (error) {
    if (!(error instanceof SyntaxProblem)) throw error;
    const { line, column } = positionOf(text, error.at);
    const words =
      syntax === 'yaml'
        ? `yaml-cpp: error at line ${line}, column ${column}: ${error.message}`
        : `Unable to parse JSON as proto (INVALID_ARGUMENT: invalid JSON in ${bootstrapName}, near ${line}:${column} (offset ${error.at}): ${error.message})`;
    add(error.message, error.at, 'syntax', 'error', {
      envoy: words,
      ...(error.suggestion !== undefined && { suggestion: error.suggestion }),
    });
  }
  return broken;
}

/** UTF-8, or UTF-16 with a byte order mark as yaml-cpp reads it. */
function decodeText(
  file: string,
  bytes: Buffer,
  problems: ConfigError[],
): { text: string; isValid: boolean } {
  const encoding =
    bytes[0] === 0xff && bytes[1] === 0xfe
      ? 'utf-16le'
      : bytes[0] === 0xfe && bytes[1] === 0xff
        ? 'utf-16be'
        : 'utf-8';
  try {
    return { text: new TextDecoder(encoding, { fatal: true, ignoreBOM: true }).decode(bytes), isValid: true };
  } catch {
    const text = new TextDecoder(encoding, { ignoreBOM: true }).decode(bytes);
    const at = Math.max(0, text.indexOf('\ufffd'));
    const error = new ConfigError('', 'the text is not valid UTF-8 here', {
      rule: 'invalid-utf8',
      envoy: 'Invalid UTF-8 string',
      suggestion: 'save the file as UTF-8',
    });
    locateAt(error, { file, text, tree: null, start: 0 }, at);
    problems.push(error);
    return { text, isValid: false };
  }
}

function positionOf(text: string, at: number): { line: number; column: number } {
  const problem = new ConfigError('', '');
  locateAt(problem, { file: '', text, tree: null, start: 0 }, at);
  return { line: problem.line!, column: problem.column! };
}

function locateAt(problem: ConfigError, source: Source, at: number): void {
  locate([problem], [{ ...source, tree: null, start: at }]);
}

function readSource(
  text: Text,
  type: MessageType,
  problems: ConfigError[],
  unknownFields: 'error' | 'warning' | 'ignore',
): Message {
  if (text.message !== undefined) return text.message;
  const found: ConfigError[] = [];
  const message = readMessage(type, text.source.tree, found, '', { unknownFields });
  locate(found, [text.source]);
  problems.push(...found);
  return message;
}

function readUnit(text: Text, problems: ConfigError[], options: LoadOptions): Unit {
  const type = text.message !== undefined ? messageType(bootstrapName)! : detectType(text.source.tree);
  const isStatic = type.name === bootstrapName;
  const unknownFields = isStatic
    ? options.allowUnknownStaticFields === true
      ? 'warning'
      : 'error'
    : options.rejectUnknownDynamicFields === true
      ? 'error'
      : options.ignoreUnknownDynamicFields === true
        ? 'ignore'
        : 'error';
  const message = readSource(text, type, problems, unknownFields);
  return { type, message, path: '', sources: [text.source] };
}

/** Resources that may stand alone in a file, most likely first. */
const resourceNames = [
  bootstrapName,
  discoveryResponseName,
  'envoy.config.bootstrap.v3.Bootstrap.StaticResources',
  'envoy.config.bootstrap.v3.Bootstrap.DynamicResources',
  'envoy.config.cluster.v3.Cluster',
  'envoy.config.listener.v3.Listener',
  'envoy.config.route.v3.RouteConfiguration',
  'envoy.config.endpoint.v3.ClusterLoadAssignment',
  'envoy.extensions.transport_sockets.tls.v3.Secret',
  'envoy.config.route.v3.ScopedRouteConfiguration',
  'envoy.config.route.v3.VirtualHost',
  'envoy.service.runtime.v3.Runtime',
  'envoy.config.core.v3.TypedExtensionConfig',
  'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
];

/** By its `@type`, or by whose fields fit best. */
export function detectType(tree: Tree): MessageType {
  const bootstrap = messageType(bootstrapName)!;
  if (!(tree instanceof TreeMap)) return bootstrap;
  const url = tree.get('@type');
  if (typeof url === 'string') {
    // An Any: the reader says what is wrong with an unknown type.
    return anyType();
  }
  let best = bootstrap;
  let bestScore = 0;
  for (const name of resourceNames) {
    const type = messageType(name)!;
    let score = 0;
    for (const key of tree.keys) if (type.field(key) ?? type.fieldByJsonName(key)) score++;
    if (score > bestScore) {
      best = type;
      bestScore = score;
    }
  }
  return best;
}

function anyType(): MessageType {
  const name: string = 'google.protobuf.Any';
  return messageType(name)!;
}

/** Constraints and rules of everything together. */
function check(units: readonly Unit[], problems: ConfigError[], options: LoadOptions): void {
  const scope = new RuleScope(options);
  for (const unit of units) scope.add(unit.type, unit.message, units.length > 1);
  const visitors = visitorsOf(scope);
  for (const { type, message, path, sources } of units) {
    const found: ConfigError[] = [];
    checkMessage(type, message, found, path, {
      skipDeprecated: options.skipDeprecatedLogs === true,
      visitors,
    });
    const unread = problems.filter(
      (it) => it.severity === 'error' && it.path !== '' && sources.some((source) => source.file === it.file),
    );
    // A value that its field does not allow is not looked at by rules.
    const refused = new Set(
      found.filter((it) => it.rule === 'constraint' || it.rule === 'missing-required').map((it) => it.path),
    );
    const isRefused = (it: ConfigError) =>
      refused.has(it.path) && it.rule !== 'constraint' && it.rule !== 'missing-required';
    const news = found.filter((it) => !isRefused(it) && !unread.some((error) => isConsequence(it, error)));
    locate(news, sources);
    for (const it of news) it.file ??= sources[0]?.file;
    problems.push(...news);
  }
}

/** What could not be read is missing, and what is wrong inside has a cause: those are no second mistakes. */
function isConsequence(problem: ConfigError, error: ConfigError): boolean {
  if (problem === error || problem.severity === 'note') return false;
  if (isInside(error.path, problem.path)) return problem.severity === 'error';
  if (isInside(problem.path, error.path)) return true;
  if (error.rule !== 'unknown-field' || problem.rule !== 'missing-required') return false;
  const parent = error.path.slice(0, error.path.lastIndexOf('.'));
  const field = problem.path.slice(problem.path.lastIndexOf('.') + 1);
  return (
    isInside(problem.path, parent) &&
    (error.got === '<<' || error.suggestion?.includes(`"${field}"`) === true)
  );
}

function isInside(path: string, outer: string): boolean {
  return path === outer || path.startsWith(`${outer}.`) || path.startsWith(`${outer}[`);
}

function finish(problems: ConfigError[], sources: readonly Source[], options: LoadOptions): Validated {
  const raised = options.strict === true ? problems.map(raise) : problems;
  const order = new Map(sources.map((source, i) => [source.file, i]));
  const place = (it: ConfigError) => order.get(it.file ?? '') ?? -1;
  raised.sort(
    (a, b) => place(a) - place(b) || (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0),
  );
  return { problems: raised, sources, ok: !raised.some((it) => it.severity === 'error') };
}

function raise(it: ConfigError): ConfigError {
  if (it.severity !== 'warning' || !isStrictRule(it.rule)) return it;
  const { rule, got, point } = it;
  const raised = new ConfigError(
    it.path,
    it.problem,
    {
      rule,
      got,
      point,
      ...(it.expected !== undefined && { expected: it.expected }),
      ...(it.suggestion !== undefined && { suggestion: it.suggestion }),
      ...(it.envoy !== undefined && { envoy: it.envoy }),
    },
    'error',
  );
  raised.file = it.file;
  raised.line = it.line;
  raised.column = it.column;
  return raised;
}
