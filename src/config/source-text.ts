// A file -> its tree: by its extension YAML, JSON, protobuf in text or binary, or a TypeScript module that is run. Says what is wrong with
// the text itself.

import { readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { decodeMessage } from '#schema/binary.ts';
import type { Message, MessageType } from '#schema/descriptor.ts';
import { message as messageType } from '#schema/registry.ts';
import { provideSelfImport } from '#schema/self-import.ts';
import { ConfigError } from './config-error.ts';
import { parseJson } from './json-text.ts';
import type { LoadOptions } from './load-options.ts';
import { locate, type Source } from './locate.ts';
import { readProtoText } from './proto-text.ts';
import { SyntaxProblem, TreeList, TreeMap } from './tree.ts';
import { treeOf } from './tree-of.ts';
import { parseYaml } from './yaml.ts';

/** Larger than any configuration and small enough to be read. */
const maxFileBytes = 32 * 1024 * 1024;
const bootstrapName: string = 'envoy.config.bootstrap.v3.Bootstrap';

export interface SourceText {
  readonly source: Source;
  /** Set when the file was binary. */
  readonly message?: Message;
  /** There is no tree: the problems say why. */
  readonly isBroken?: boolean;
}

/** Undefined when there is nothing to point into: the file cannot be read or run. */
export async function openText(
  file: string,
  type: MessageType | undefined,
  problems: ConfigError[],
  options: LoadOptions,
): Promise<SourceText | undefined> {
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
): Promise<SourceText | undefined> {
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
): SourceText | undefined {
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
export function parseText(
  file: string,
  bytes: Buffer,
  syntax: 'yaml' | 'json',
  problems: ConfigError[],
): SourceText {
  const { text, isValid } = decodeText(file, bytes, problems);
  const broken: SourceText = { source: { file, text, tree: null, start: 0 }, isBroken: true };
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
    const { line, column } = positionOf(text, error.envoyAt);
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
