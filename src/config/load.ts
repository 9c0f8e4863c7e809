// The door to this room: files in, a checked message and every problem out.
//
//   const loaded = await loadBootstrap({ file: 'envoy.yaml', yaml: '<--config-yaml>' }, options);
//   process.stderr.write(formatProblems(loaded.problems, loaded.sources, 'text'));
//   if (loaded.ok) start(loaded.bootstrap);
//
//   const { problems, sources, ok } = await validateFiles(['envoy.yaml', 'eds.yaml', '-'], options);
//   const { response, ok } = await loadDiscoveryFile('eds.yaml', options);
//
// `problems` has errors, warnings and notes in the order of file and line. `problem.envoy` is what the real Envoy prints about it.

import type { Message, MessageType } from '#schema/descriptor.ts';
import { message as messageType } from '#schema/registry.ts';
import { checkMessage } from './check-message.ts';
import { ConfigError } from './config-error.ts';
import { isConsequence } from './consequences.ts';
import { bootstrapName, detectType, discoveryResponseName } from './detect-type.ts';
import type { LoadOptions } from './load-options.ts';
import { locate, type Source } from './locate.ts';
import { mergeMessage } from './merge-message.ts';
import { readMessage } from './read-message.ts';
import { isStrictRule } from './rule-catalog.ts';
import { RuleScope } from './rules/scope.ts';
import { visitorsOf } from './rules/visitors.ts';
import { openText, parseText, type SourceText } from './source-text.ts';

export type { LoadOptions } from './load-options.ts';

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

/** `-c` and `--config-yaml`; at least one of them. */
export async function loadBootstrap(
  input: { readonly file?: string | undefined; readonly yaml?: string | undefined },
  options: LoadOptions = {},
): Promise<LoadedBootstrap> {
  const problems: ConfigError[] = [];
  const sources: Source[] = [];
  const type = messageType(bootstrapName)!;
  const unknownFields = unknownStaticFields(options);
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
  if (sources.length > 0) check([{ type, message: bootstrap, sources }], problems, options);
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

export interface LoadedResponse extends Validated {
  readonly response: Message;
  /** Errors, if there are any, are of the content: the file could be read as a discovery response. */
  readonly isRead: boolean;
}

/** What a proxy knows when it reads a discovery file. */
export interface RunningProxy {
  readonly bootstrap: Message;
  /** Those that came by discovery. */
  readonly clusters: readonly Message[];
}

/** A file of a file-based subscription: a discovery response with resources of any type. Unknown fields warn unless told otherwise. */
export async function loadDiscoveryFile(
  file: string,
  options: LoadOptions = {},
  proxy?: RunningProxy,
): Promise<LoadedResponse> {
  const problems: ConfigError[] = [];
  const type = messageType(discoveryResponseName)!;
  const text = await openText(file, type, problems, options);
  const sources = text === undefined ? [] : [text.source];
  let response = type.create() as Message;
  let isRead = false;
  if (text !== undefined && !text.isBroken) {
    response = readSource(text, type, problems, unknownDynamicFields(options));
    isRead = !problems.some((it) => it.severity === 'error');
    check([{ type, message: response, sources }], problems, options, proxy);
  }
  return { response, isRead, ...finish(problems, sources, options) };
}

/** A message with where it came from. */
interface Unit {
  readonly type: MessageType;
  readonly message: Message;
  readonly sources: readonly Source[];
}

function readSource(
  text: SourceText,
  type: MessageType,
  problems: ConfigError[],
  unknownFields: UnknownFields,
): Message {
  if (text.message !== undefined) return text.message;
  const found: ConfigError[] = [];
  const message = readMessage(type, text.source.tree, found, '', { unknownFields });
  locate(found, [text.source]);
  problems.push(...found);
  return message;
}

function readUnit(text: SourceText, problems: ConfigError[], options: LoadOptions): Unit {
  const type = text.message !== undefined ? messageType(bootstrapName)! : detectType(text.source.tree);
  let unknownFields: UnknownFields = options.ignoreUnknownDynamicFields === true ? 'ignore' : 'error';
  if (type.name === bootstrapName) unknownFields = unknownStaticFields(options);
  const message = readSource(text, type, problems, unknownFields);
  return { type, message, sources: [text.source] };
}

type UnknownFields = 'error' | 'warning' | 'ignore';

function unknownStaticFields(options: LoadOptions): UnknownFields {
  return options.allowUnknownStaticFields === true ? 'warning' : 'error';
}

function unknownDynamicFields(options: LoadOptions): UnknownFields {
  if (options.rejectUnknownDynamicFields === true) return 'error';
  return options.ignoreUnknownDynamicFields === true ? 'ignore' : 'warning';
}

/** Constraints and rules of everything together. */
const clusterName: string = 'envoy.config.cluster.v3.Cluster';

function check(
  units: readonly Unit[],
  problems: ConfigError[],
  options: LoadOptions,
  proxy?: RunningProxy,
): void {
  const scope = new RuleScope(options);
  if (proxy !== undefined) {
    scope.add(messageType(bootstrapName)!, proxy.bootstrap, true);
    for (const it of proxy.clusters) scope.add(messageType(clusterName)!, it, true);
  }
  for (const unit of units) scope.add(unit.type, unit.message, units.length > 1);
  const visitors = visitorsOf(scope);
  for (const { type, message, sources } of units) {
    const found: ConfigError[] = [];
    checkMessage(type, message, found, '', {
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
