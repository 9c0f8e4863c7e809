// YAML tokens -> tree, as yaml-cpp and Envoy together do it: only the first document counts, merge keys are ordinary keys, the last
// of two equal keys wins, and plain scalars are null, YAML 1.1 booleans, small integers or else strings. Floats stay strings; the
// schema turns them into numbers where it wants numbers.

import { maxDepth, SyntaxProblem, type Tree, TreeList, TreeMap } from './tree.ts';
import { scanYaml, Token, type Tokens } from './yaml-scan.ts';

export interface YamlDocument {
  readonly tree: Tree;
  /** Offset of the root value. */
  readonly start: number;
  /** Offset of the first thing after the first document, which nobody reads; undefined when there is none. */
  readonly ignoredFrom: number | undefined;
  /** True when what is ignored is another document rather than lines that are indented less than the first. */
  readonly ignoresDocument: boolean;
  /** A quote that is never closed: it has taken the rest of the file. */
  readonly openQuoteAt: number | undefined;
  /** Keys that stand twice in one map, at their first place: Envoy silently takes the last. */
  readonly duplicates: readonly { readonly key: string; readonly at: number }[];
}

/** Throws a `SyntaxProblem`. */
export function parseYaml(text: string): YamlDocument {
  return new YamlParser(scanYaml(text), text).document();
}

/** Aliases may multiply a text, but not into something that no machine can hold. */
const maxNodes = 4_000_000;

class YamlParser {
  readonly #text: string;
  readonly #tokens: Tokens;
  readonly #kind: readonly number[];
  readonly #maxNodes: number;
  #next = 0;
  #depth = 0;
  #nodes = 0;
  readonly #anchors = new Map<string, Tree | undefined>();
  readonly #duplicates: { readonly key: string; readonly at: number }[] = [];
  /** Where the value began that `#node` returned last. */
  #valueAt = 0;

  constructor(tokens: Tokens, text: string) {
    this.#text = text;
    this.#tokens = tokens;
    this.#kind = tokens.kind;
    this.#maxNodes = maxNodes + text.length;
  }

  document(): YamlDocument {
    let kind = this.#peek();
    while (kind === Token.Directive) {
      this.#next++;
      kind = this.#peek();
    }
    if (kind === Token.DocStart) this.#next++;
    const tree = this.#peek() === Token.DocEnd ? null : this.#node();
    const start = this.#valueAt;
    while (this.#peek() === Token.DocEnd) this.#next++;
    const rest = this.#peek();
    return {
      tree,
      start,
      ignoredFrom: rest === Token.End ? undefined : this.#tokens.at[this.#next],
      ignoresDocument: rest === Token.DocStart || rest === Token.Directive,
      openQuoteAt: this.#tokens.openQuoteAt,
      duplicates: this.#duplicates,
    };
  }

  #peek(): number {
    const kinds = this.#kind;
    while (kinds[this.#next] === Token.Skip) this.#next++;
    return kinds[this.#next]!;
  }

  #at(): number {
    return this.#tokens.at[this.#next]!;
  }

  #fail(problem: string): never {
    if (this.#kind[this.#next] === Token.Wrong) throw this.#tokens.problem!;
    if (this.#kind[this.#next] !== Token.End)
      throw new SyntaxProblem(problem, this.#at(), 'check the indentation of this line');
    const end = this.#at();
    // yaml-cpp is at the beginning of the last line then, whatever stands in it.
    const lastLine = this.#text.lastIndexOf('\n', end - 1) + 1;
    throw new SyntaxProblem(problem, end, 'the file ends too early', lastLine);
  }

  #node(): Tree {
    this.#peek();
    const at = this.#at();
    if (++this.#depth > maxDepth) throw new SyntaxProblem(`more than ${maxDepth} levels deep`, at);
    const tree = this.#anyNode();
    this.#valueAt = at;
    this.#depth--;
    if (++this.#nodes > this.#maxNodes) throw new SyntaxProblem('too many values', this.#at());
    return tree;
  }

  #anyNode(): Tree {
    let kind = this.#peek();
    if (kind === Token.Plain) return plainValue(this.#tokens.text[this.#next++]!);
    if (kind === Token.Quoted) return this.#tokens.text[this.#next++]!;
    if (kind === Token.Wrong) throw this.#tokens.problem!;
    if (kind === Token.Value) return this.#compactMap(false);
    if (kind === Token.Alias) return this.#alias();
    let tag = '';
    let anchor = '';
    for (; kind === Token.Tag || kind === Token.Anchor; kind = this.#peek()) {
      if (kind === Token.Tag) {
        if (tag !== '') this.#fail('cannot assign multiple tags to the same node');
        tag = this.#tokens.text[this.#next]!;
      } else {
        if (anchor !== '') this.#fail('cannot assign multiple anchors to the same node');
        anchor = this.#tokens.text[this.#next]!;
      }
      this.#next++;
    }
    if (tag === '' && anchor === '') return this.#content(kind);
    if (anchor !== '') this.#anchors.set(anchor, undefined);
    const tree = this.#tagged(kind, tag);
    if (anchor !== '') this.#anchors.set(anchor, tree);
    return tree;
  }

  /** A tag other than `!` changes nothing but this: a quoted scalar is looked at as if it were plain. */
  #tagged(kind: number, tag: string): Tree {
    if (kind !== Token.Plain && kind !== Token.Quoted) return this.#content(kind) ?? (tag === '' ? null : '');
    const text = this.#tokens.text[this.#next++]!;
    if (tag === '!') return text;
    if (tag === '') return kind === Token.Plain ? plainValue(text) : text;
    return plainValue(text) ?? text;
  }

  #content(kind: number): Tree {
    switch (kind) {
      case Token.Plain:
        return plainValue(this.#tokens.text[this.#next++]!);
      case Token.Quoted:
        return this.#tokens.text[this.#next++]!;
      case Token.BlockMapStart:
        return this.#blockMap();
      case Token.BlockSeqStart:
        return this.#blockList();
      case Token.FlowMapStart:
        return this.#flowMap();
      case Token.FlowSeqStart:
        return this.#flowList();
      case Token.Key:
        return this.#inFlowList ? this.#compactMap(true) : null;
      case Token.Wrong:
        throw this.#tokens.problem!;
      default:
        return null;
    }
  }

  #inFlowList = false;

  #alias(): Tree {
    const name = this.#tokens.text[this.#next]!;
    const tree = this.#anchors.get(name);
    if (tree === undefined) {
      if (this.#anchors.has(name))
        throw new SyntaxProblem(`the alias *${name} stands inside its own anchor`, this.#at());
      throw new SyntaxProblem(
        `the referenced anchor is not defined: ${name}`,
        this.#at(),
        'put quotes around a value that starts with "*"',
      );
    }
    this.#nodes += weightOf(tree);
    if (this.#nodes > this.#maxNodes)
      throw new SyntaxProblem('aliases multiply into too many values', this.#at());
    this.#next++;
    return tree;
  }

  #blockMap(): TreeMap {
    const map = new TreeMap(this.#at());
    const inFlowList = this.#inFlowList;
    this.#inFlowList = false;
    this.#next++;
    for (;;) {
      const kind = this.#peek();
      if (kind === Token.BlockMapEnd) break;
      if (kind !== Token.Key && kind !== Token.Value) this.#fail('end of map not found');
      this.#entry(map, kind);
    }
    this.#next++;
    this.#inFlowList = inFlowList;
    dropDuplicates(map, this.#duplicates);
    return map;
  }

  #flowMap(): TreeMap {
    const map = new TreeMap(this.#at());
    const inFlowList = this.#inFlowList;
    this.#inFlowList = false;
    this.#next++;
    for (;;) {
      const kind = this.#peek();
      if (kind === Token.FlowMapEnd) break;
      if (kind === Token.End || kind === Token.Wrong) this.#fail('end of map flow not found');
      this.#entry(map, kind);
      const after = this.#peek();
      if (after === Token.FlowEntry) this.#next++;
      else if (after !== Token.FlowMapEnd) this.#fail('end of map flow not found');
    }
    this.#next++;
    this.#inFlowList = inFlowList;
    dropDuplicates(map, this.#duplicates);
    return map;
  }

  #entry(map: TreeMap, kind: number): void {
    const keyAt = this.#at();
    let key: string | undefined = 'null';
    if (kind === Token.Key) {
      this.#next++;
      key = this.#keyText();
    }
    let value: Tree = null;
    let valueAt = keyAt;
    if (this.#peek() === Token.Value) {
      this.#next++;
      value = this.#node();
      valueAt = this.#valueAt;
    }
    if (key === undefined) return;
    map.keys.push(key);
    map.values.push(value);
    map.keyAt.push(keyAt);
    map.valueAt.push(valueAt);
    map.weight += weightOf(value);
  }

  /** The text of a key as it is written: `true: x` has the key "true". Undefined for one that Envoy leaves out. */
  #keyText(): string | undefined {
    const kind = this.#peek();
    if (kind === Token.Plain || kind === Token.Quoted) {
      const text = this.#tokens.text[this.#next++]!;
      return kind === Token.Plain && isNull(text) ? 'null' : text;
    }
    const ignored = kind === Token.Tag && this.#tokens.text[this.#next] === '!ignore';
    const at = this.#next;
    const tree = this.#node();
    if (ignored) return undefined;
    if (tree === null) return 'null';
    if (tree instanceof TreeMap || tree instanceof TreeList) {
      throw new SyntaxProblem('a key must be a plain text, this is a map or a list', this.#tokens.at[at]!);
    }
    // As it was written, where it was written: `0x10` stays "0x10".
    const last = this.#kind[this.#next - 1];
    return last === Token.Plain || last === Token.Quoted ? this.#tokens.text[this.#next - 1]! : String(tree);
  }

  #blockList(): TreeList {
    const list = new TreeList(this.#at());
    const inFlowList = this.#inFlowList;
    this.#inFlowList = false;
    this.#next++;
    for (;;) {
      const kind = this.#peek();
      if (kind === Token.BlockSeqEnd) break;
      if (kind !== Token.BlockEntry) this.#fail('end of sequence not found');
      const entryAt = this.#at();
      this.#next++;
      const first = this.#peek();
      if (first === Token.BlockEntry || first === Token.BlockSeqEnd) this.#add(list, null, entryAt);
      else {
        const value = this.#node();
        this.#add(list, value, this.#valueAt);
      }
    }
    this.#next++;
    this.#inFlowList = inFlowList;
    return list;
  }

  #flowList(): TreeList {
    const list = new TreeList(this.#at());
    const inFlowList = this.#inFlowList;
    this.#next++;
    for (;;) {
      const kind = this.#peek();
      if (kind === Token.FlowSeqEnd) break;
      if (kind === Token.End || kind === Token.Wrong) this.#fail('end of sequence flow not found');
      this.#inFlowList = true;
      const value = this.#node();
      this.#add(list, value, this.#valueAt);
      const after = this.#peek();
      if (after === Token.FlowEntry) this.#next++;
      else if (after !== Token.FlowSeqEnd) this.#fail('end of sequence flow not found');
    }
    this.#next++;
    this.#inFlowList = inFlowList;
    return list;
  }

  #add(list: TreeList, value: Tree, at: number): void {
    list.items.push(value);
    list.itemAt.push(at);
    list.weight += weightOf(value);
  }

  /** `[a: 1]` is a list of a map with one entry. */
  #compactMap(hasKey: boolean): TreeMap {
    const map = new TreeMap(this.#at());
    const inFlowList = this.#inFlowList;
    this.#inFlowList = false;
    this.#entry(map, hasKey ? Token.Key : Token.Value);
    this.#inFlowList = inFlowList;
    return map;
  }
}

/** The last of two equal keys wins, as in Envoy; the others are taken out. */
function dropDuplicates(map: TreeMap, found: { key: string; at: number }[]): void {
  const { keys } = map;
  if (keys.length <= 16) {
    let hasDuplicate = false;
    for (let i = 1; i < keys.length && !hasDuplicate; i++) {
      for (let j = 0; j < i; j++) if (keys[i] === keys[j]) hasDuplicate = true;
    }
    if (!hasDuplicate) return;
  } else if (new Set(keys).size === keys.length) return;
  const seen = new Set<string>();
  for (let i = keys.length - 1; i >= 0; i--) {
    if (!seen.has(keys[i]!)) {
      seen.add(keys[i]!);
      continue;
    }
    found.push({ key: keys[i]!, at: map.keyAt[i]! });
    keys.splice(i, 1);
    map.values.splice(i, 1);
    map.keyAt.splice(i, 1);
    map.valueAt.splice(i, 1);
  }
}

function weightOf(tree: Tree): number {
  return tree instanceof TreeMap || tree instanceof TreeList ? tree.weight : 1;
}

/** What a scalar without quotes means. Measured on the real Envoy: `08` and `1.0` are strings, `017` is 15, `n` is false. */
export function plainValue(text: string): null | boolean | number | string {
  const first = text.charCodeAt(0);
  // Letters that start none of y n t f o (and upper case), and no sign, digit or tilde: a string. Most scalars end here.
  if (first > 0x39 && !/^[yntfoYNTFO~]/.test(text)) return text;
  if (isNull(text)) return null;
  if (first > 0x39) return booleans.get(text) ?? text;
  if (!/^[+-]?(?:0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)$/.test(text)) return text;
  return integer(text);
}

function integer(text: string): number | string {
  const negative = text[0] === '-';
  const digits = negative || text[0] === '+' ? text.slice(1) : text;
  let value: bigint;
  if (digits.length < 10) {
    const small =
      digits[0] === '0' && digits.length > 1 && /[0-9]/.test(digits[1]!)
        ? Number.parseInt(digits, 8)
        : Number(digits);
    return negative && small !== 0 ? -small : small;
  }
  if (digits[0] === '0' && /[0-9]/.test(digits[1]!)) value = BigInt(`0o${digits}`);
  else value = BigInt(digits);
  if (negative) value = -value;
  // Beyond 64 bits it is a text; beyond 32 it is a text of decimal digits, which protobuf reads as a number all the same.
  if (value > 0x7fffffffffffffffn || value < -0x8000000000000000n) return text;
  if (value > 0x7fffffffn || value < -0x80000000n) return String(value);
  return Number(value);
}

function isNull(text: string): boolean {
  return text === '' || text === '~' || text === 'null' || text === 'Null' || text === 'NULL';
}

const booleans = new Map<string, boolean>();
for (const [yes, no] of [
  ['y', 'n'],
  ['yes', 'no'],
  ['true', 'false'],
  ['on', 'off'],
] as const) {
  for (const [word, value] of [
    [yes, true],
    [no, false],
  ] as const) {
    for (const spelling of [word, word.toUpperCase(), word[0]!.toUpperCase() + word.slice(1)])
      booleans.set(spelling, value);
  }
}
