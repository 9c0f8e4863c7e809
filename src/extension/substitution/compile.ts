// From a format to something that formats: a text (`text_format`), or a line of JSON (`json_format`).
import { latin1OfUtf8 } from '#base/utf8.ts';
import type { FormatContext, Formatter } from '../formatter.ts';
import { type ExtensionCommands, operator } from './commands.ts';
import { jsonText, type Operator, sortedJson } from './operator.ts';
import { parseFormat } from './parse.ts';

export interface FormatOptions {
  /** Operators without a value give nothing instead of `-`; members of JSON objects without one are left out. */
  readonly omitEmptyValues?: boolean;
  readonly extensions?: ExtensionCommands;
}

/** What is wrong with a format string, in Envoy's words, or undefined. */
export function formatProblem(text: string, extensions: ExtensionCommands = []): string | undefined {
  const parts = operators(text, extensions);
  return 'problem' in parts ? parts.problem : undefined;
}

/** The format must have passed `formatProblem`. */
export function compileFormat(text: string, options: FormatOptions = {}): Formatter {
  const parts = operators(text, options.extensions ?? []);
  if ('problem' in parts) throw new Error(`a format string that was not checked: ${parts.problem}`);
  return new TextFormatter(parts, options.omitEmptyValues ? '' : '-');
}

/** The text of a format without operators, else undefined. */
export function literalText(text: string): string | undefined {
  if (!text.includes('%')) return latin1OfUtf8(text);
  const tokens = parseFormat(text);
  if ('problem' in tokens || tokens.some((it) => typeof it !== 'string')) return undefined;
  return latin1OfUtf8(tokens.join(''));
}

/** `json_format` as plain JSON; its texts are format strings. */
export type JsonFormat = Readonly<Record<string, unknown>>;

/** Every problem of the texts inside, with the way to it. */
export function jsonFormatProblems(
  format: unknown,
  extensions: ExtensionCommands = [],
  path: readonly string[] = [],
): { readonly path: readonly string[]; readonly problem: string }[] {
  if (typeof format === 'string') {
    const problem = formatProblem(format, extensions);
    return problem === undefined ? [] : [{ path, problem }];
  }
  if (typeof format !== 'object' || format === null) return [];
  return Object.entries(format).flatMap(([key, value]) =>
    jsonFormatProblems(value, extensions, [...path, key]),
  );
}

/** One line per call, with its line feed. Keys come in order. */
export function compileJsonFormat(format: JsonFormat, options: FormatOptions = {}): Formatter {
  const omit = options.omitEmptyValues === true;
  return new JsonFormatter(compileJson(format, omit, options.extensions ?? []), omit);
}

function operators(text: string, extensions: ExtensionCommands): (string | Operator)[] | { problem: string } {
  const tokens = parseFormat(latin1OfUtf8(text));
  if ('problem' in tokens) return tokens;
  const parts: (string | Operator)[] = [];
  for (const token of tokens) {
    if (typeof token === 'string') {
      parts.push(token);
      continue;
    }
    const made = operator(token.command, token.argument, token.maxLength, extensions);
    if ('problem' in made) return made;
    parts.push(made);
  }
  return parts;
}

class TextFormatter implements Formatter {
  readonly #parts: readonly (string | Operator)[];
  readonly #missing: string;

  constructor(parts: readonly (string | Operator)[], missing: string) {
    this.#parts = parts;
    this.#missing = missing;
  }

  format(context: FormatContext): string {
    const parts = this.#parts;
    let text = '';
    for (let i = 0; i < parts.length; i++) {
      const part = parts[i]!;
      text += typeof part === 'string' ? part : (part.text(context) ?? this.#missing);
    }
    return text;
  }
}

// JSON: the format as a tree, whose constant parts are written down beforehand ---------------------------------------------------

type JsonNode =
  | string // constant JSON text
  | { readonly kind: 'value'; readonly operator: Operator }
  | { readonly kind: 'text'; readonly formatter: Formatter }
  | { readonly kind: 'object'; readonly keys: readonly string[]; readonly values: readonly JsonNode[] }
  | { readonly kind: 'list'; readonly values: readonly JsonNode[] };

function compileJson(format: unknown, omit: boolean, extensions: ExtensionCommands): JsonNode {
  if (typeof format === 'string') {
    const parts = operators(format, extensions);
    if ('problem' in parts) throw new Error(`a format string that was not checked: ${parts.problem}`);
    if (parts.length === 0) return '""';
    if (parts.every((it) => typeof it === 'string')) return jsonText(parts.join(''));
    const [only] = parts;
    if (parts.length === 1 && typeof only === 'object') return { kind: 'value', operator: only };
    return { kind: 'text', formatter: new TextFormatter(parts, omit ? '' : '-') };
  }
  if (Array.isArray(format))
    return { kind: 'list', values: format.map((it) => compileJson(it, omit, extensions)) };
  if (typeof format === 'object' && format !== null) {
    const entries = Object.entries(format)
      .map(([key, value]) => [latin1OfUtf8(key), value] as const)
      .sort(([a], [b]) => (a < b ? -1 : 1));
    return {
      kind: 'object',
      keys: entries.map(([key]) => `${jsonText(key)}:`),
      values: entries.map(([, value]) => compileJson(value, omit, extensions)),
    };
  }
  // Numbers that are no integers come out as texts, as Envoy has it.
  if (typeof format === 'number' && !Number.isInteger(format)) return `"${format}"`;
  return sortedJson(format);
}

class JsonFormatter implements Formatter {
  readonly #root: JsonNode;
  readonly #omit: boolean;

  constructor(root: JsonNode, omit: boolean) {
    this.#root = root;
    this.#omit = omit;
  }

  format(context: FormatContext): string {
    return `${write(this.#root, context, this.#omit) ?? '{}'}\n`;
  }
}

/** Undefined: no value, to be left out where it stands. */
function write(node: JsonNode, context: FormatContext, omit: boolean): string | undefined {
  if (typeof node === 'string') return omit && node === 'null' ? undefined : node;
  switch (node.kind) {
    case 'value': {
      const value = node.operator.value(context);
      if (value === undefined) return omit ? undefined : 'null';
      return node.operator.isStruct || typeof value === 'object' ? sortedJson(value) : jsonText(value);
    }
    case 'text':
      return jsonText(node.formatter.format(context));
    case 'object': {
      let text = '';
      for (let i = 0; i < node.keys.length; i++) {
        const value = write(node.values[i]!, context, omit);
        if (value === undefined) continue;
        text += `${text === '' ? '' : ','}${node.keys[i]}${value}`;
      }
      return omit && text === '' ? undefined : `{${text}}`;
    }
    case 'list': {
      let text = '';
      for (let i = 0; i < node.values.length; i++) {
        const value = write(node.values[i]!, context, omit);
        if (value === undefined) continue;
        text += `${text === '' ? '' : ','}${value}`;
      }
      return `[${text}]`;
    }
  }
}
