// YAML text -> tokens, with the verdicts of yaml-cpp, which is what Envoy reads with: where a tab may stand, when a key may start,
// which line continues a scalar. It is written by hand because the `yaml` package takes 1.1 s for 2.5 MB and follows another
// edition of YAML; this takes a tenth of that. A wrong token ends the stream: it only counts when the parser gets that far.

import { maxDepth, SyntaxProblem } from './tree.ts';

export const Token = {
  Skip: 0,
  DocStart: 1,
  DocEnd: 2,
  BlockSeqStart: 3,
  BlockMapStart: 4,
  BlockSeqEnd: 5,
  BlockMapEnd: 6,
  BlockEntry: 7,
  FlowSeqStart: 8,
  FlowMapStart: 9,
  FlowSeqEnd: 10,
  FlowMapEnd: 11,
  FlowEntry: 12,
  Key: 13,
  Value: 14,
  Anchor: 15,
  Alias: 16,
  Tag: 17,
  Plain: 18,
  /** Quoted or block scalar: never a boolean, number or null. */
  Quoted: 19,
  Directive: 20,
  Wrong: 21,
  End: 22,
} as const;

/** Parallel arrays, one entry per token; `text` is set for scalars, anchors, aliases and tags. */
export interface Tokens {
  readonly kind: number[];
  readonly at: number[];
  readonly text: string[];
  /** What the token `Wrong` stands for. */
  readonly problem: SyntaxProblem | undefined;
  /** A quote that is never closed, and takes all the rest of the file. */
  readonly openQuoteAt: number | undefined;
}

const TAB = 9;
const LF = 10;
const CR = 13;
const SPACE = 32;

const Indent = { None: 0, Map: 1, Seq: 2 } as const;

/** A key starts before the `:` is seen that proves it: its tokens wait as `Skip` until then. */
interface SimpleKey {
  readonly at: number;
  readonly lineStart: number;
  readonly flowLevel: number;
  readonly keyToken: number;
  readonly mapToken: number;
  readonly indent: number;
}

const escapes: Readonly<Record<string, string>> = {
  '0': '\0',
  a: '\x07',
  b: '\b',
  t: '\t',
  '\t': '\t',
  n: '\n',
  v: '\v',
  f: '\f',
  r: '\r',
  e: '\x1b',
  ' ': ' ',
  '"': '"',
  "'": "'",
  '\\': '\\',
  '/': '/',
  N: '\x85',
  _: '\xa0',
  L: '\u2028',
  P: '\u2029',
};

const unicodeLength: Readonly<Record<string, number>> = { x: 2, u: 4, U: 8 };

export function scanYaml(text: string): Tokens {
  const scanner = new Scanner(text);
  scanner.run();
  return scanner;
}

class Scanner implements Tokens {
  readonly kind: number[] = [];
  readonly at: number[] = [];
  readonly text: string[] = [];
  problem: SyntaxProblem | undefined = undefined;
  openQuoteAt: number | undefined = undefined;

  readonly #input: string;
  #pos = 0;
  #lineStart = 0;
  #keyAllowed = true;
  #jsonFlow = false;
  #leadingSpaces = false;
  /** First token of the key that was given up in this step. */
  #lastInvalid = Number.POSITIVE_INFINITY;
  readonly #keys: SimpleKey[] = [];
  readonly #flows: number[] = [];
  // The stack of open block collections: column, type, and whether a `:` has proved it.
  readonly #columns: number[] = [-1];
  readonly #types: number[] = [Indent.None];
  readonly #proved: boolean[] = [true];

  constructor(input: string) {
    this.#input = input;
    if (input.charCodeAt(0) === 0xfeff) {
      this.#pos = 1;
      this.#lineStart = 1;
    }
  }

  run(): void {
    try {
      while (this.#next());
    } catch (error) {
      if (!(error instanceof SyntaxProblem)) throw error;
      this.problem = error;
      // A parser that waits for the verdict on a key meets the error instead.
      let waiting = this.#lastInvalid;
      for (const key of this.#keys) waiting = Math.min(waiting, firstTokenOf(key));
      if (waiting < this.kind.length) this.kind[waiting] = Token.Wrong;
      this.#push(Token.Wrong, error.at);
    }
    this.#push(Token.End, this.#input.length);
  }

  #push(kind: number, at: number, text = ''): number {
    this.at.push(at);
    this.text.push(text);
    return this.kind.push(kind) - 1;
  }

  #next(): boolean {
    this.#lastInvalid = Number.POSITIVE_INFINITY;
    this.#skipSpace();
    const input = this.#input;
    const pos = this.#pos;
    this.#popIndents();
    if (pos >= input.length) {
      this.#popAllIndents();
      this.#popAllKeys();
      return false;
    }
    const c = input.charCodeAt(pos);
    if (pos === this.#lineStart) {
      if (c === 0x25) return this.#directive(); // %
      if (isDocumentMark(input, pos, 0x2d)) return this.#documentMark(Token.DocStart);
      if (isDocumentMark(input, pos, 0x2e)) return this.#documentMark(Token.DocEnd);
    }
    switch (c) {
      case 0x5b: // [
        return this.#flowStart(Token.FlowSeqStart);
      case 0x7b: // {
        return this.#flowStart(Token.FlowMapStart);
      case 0x5d: // ]
        return this.#flowEnd(Token.FlowSeqEnd);
      case 0x7d: // }
        return this.#flowEnd(Token.FlowMapEnd);
      case 0x2c: // ,
        return this.#flowEntry();
      case 0x2d: // -
        if (this.#isBlankAt(pos + 1)) return this.#blockEntry();
        break;
      case 0x3f: // ?
        if (pos + 1 < input.length && this.#isBlankAt(pos + 1)) return this.#key();
        break;
      case 0x3a: // :
        if (this.#isValueAt(pos)) return this.#value();
        break;
      case 0x2a: // *
        return this.#anchor(Token.Alias);
      case 0x26: // &
        return this.#anchor(Token.Anchor);
      case 0x21: // !
        return this.#tag();
      case 0x7c: // |
      case 0x3e: // >
        if (this.#flows.length === 0) return this.#blockScalar(c);
        break;
      case 0x22: // "
      case 0x27: // '
        return this.#quoted(c);
    }
    if (this.#startsPlain(c, pos)) return this.#plain();
    throw new SyntaxProblem(
      'unknown token',
      pos,
      c === 0x40 || c === 0x60 || c === 0x25
        ? `a value that starts with "${input[pos]}" needs quotes`
        : undefined,
    );
  }

  #skipSpace(): void {
    const input = this.#input;
    const block = this.#flows.length === 0;
    for (;;) {
      let c = input.charCodeAt(this.#pos);
      while (c === SPACE || c === TAB) {
        if (c === TAB && block) this.#keyAllowed = false;
        c = input.charCodeAt(++this.#pos);
      }
      if (c === 0x23) c = this.#skipLine();
      if (c !== LF && c !== CR) return;
      this.#eatBreak();
      this.#invalidateKey();
      if (block) this.#keyAllowed = true;
    }
  }

  #skipLine(): number {
    const input = this.#input;
    let c = input.charCodeAt(this.#pos);
    while (this.#pos < input.length && c !== LF && c !== CR) c = input.charCodeAt(++this.#pos);
    return c;
  }

  #eatBreak(): void {
    this.#pos +=
      this.#input.charCodeAt(this.#pos) === CR && this.#input.charCodeAt(this.#pos + 1) === LF ? 2 : 1;
    this.#lineStart = this.#pos;
  }

  #isBlankAt(pos: number): boolean {
    const c = this.#input.charCodeAt(pos);
    return c === SPACE || c === LF || c === CR || c === TAB || pos >= this.#input.length;
  }

  #isValueAt(pos: number): boolean {
    if (this.#flows.length === 0) return this.#isBlankAt(pos + 1);
    if (this.#jsonFlow) return true;
    const c = this.#input.charCodeAt(pos + 1);
    return (
      c === 0x2c || c === 0x5d || c === 0x7d || (pos + 1 < this.#input.length && this.#isBlankAt(pos + 1))
    );
  }

  #startsPlain(c: number, pos: number): boolean {
    if (this.#flows.length === 0) {
      if (c === 0x2d || c === 0x3f || c === 0x3a) return !this.#isBlankAt(pos + 1);
      return !',[]{}#&*!|>\'"%@`'.includes(this.#input[pos]!);
    }
    if (c === 0x2d || c === 0x3a) return !this.#isBlankAt(pos + 1);
    return !'?,[]{}#&*!|>\'"%@`'.includes(this.#input[pos]!);
  }

  // Simple keys: `name:` without a `?`. At most one may be open per flow level.

  #insertKey(): void {
    if (!this.#keyAllowed) return;
    const flowLevel = this.#flows.length;
    const top = this.#keys.at(-1);
    if (top !== undefined && top.flowLevel === flowLevel) return;
    let mapToken = -1;
    let indent = -1;
    if (flowLevel === 0 && this.#pushIndent(Indent.Map)) {
      mapToken = this.kind.length - 1;
      this.kind[mapToken] = Token.Skip;
      indent = this.#columns.length - 1;
      this.#proved[indent] = false;
    }
    const keyToken = this.#push(Token.Skip, this.#pos);
    this.#keys.push({ at: this.#pos, lineStart: this.#lineStart, flowLevel, keyToken, mapToken, indent });
  }

  #invalidateKey(): void {
    const top = this.#keys.at(-1);
    if (top === undefined || top.flowLevel !== this.#flows.length) return;
    this.#keys.pop();
    this.#lastInvalid = firstTokenOf(top);
  }

  #verifyKey(): boolean {
    const top = this.#keys.at(-1);
    if (top === undefined || top.flowLevel !== this.#flows.length) return false;
    this.#keys.pop();
    if (top.lineStart !== this.#lineStart || this.#pos - top.at > 1024) {
      this.#lastInvalid = firstTokenOf(top);
      return false;
    }
    this.kind[top.keyToken] = Token.Key;
    if (top.mapToken >= 0) this.kind[top.mapToken] = Token.BlockMapStart;
    if (top.indent >= 0) this.#proved[top.indent] = true;
    return true;
  }

  /** yaml-cpp takes a last word without a colon for a key without a value, when the scalar ran on to the end of the text. */
  #popAllKeys(): void {
    for (const key of this.#keys) {
      this.kind[key.keyToken] = Token.Key;
      if (key.mapToken >= 0) this.kind[key.mapToken] = Token.BlockMapStart;
    }
    this.#keys.length = 0;
  }

  // Indentation

  #pushIndent(type: number): boolean {
    if (this.#flows.length > 0) return false;
    const column = this.#pos - this.#lineStart;
    const last = this.#columns.length - 1;
    if (column < this.#columns[last]!) return false;
    if (column === this.#columns[last] && !(type === Indent.Seq && this.#types[last] === Indent.Map))
      return false;
    if (last > maxDepth) throw new SyntaxProblem(`more than ${maxDepth} levels deep`, this.#pos);
    this.#push(type === Indent.Seq ? Token.BlockSeqStart : Token.BlockMapStart, this.#pos);
    this.#columns.push(column);
    this.#types.push(type);
    this.#proved.push(true);
    return true;
  }

  #popIndents(): void {
    if (this.#flows.length > 0) return;
    const column = this.#pos - this.#lineStart;
    const isEntry = this.#input.charCodeAt(this.#pos) === 0x2d && this.#isBlankAt(this.#pos + 1);
    while (this.#columns.length > 1) {
      const last = this.#columns.length - 1;
      if (this.#columns[last]! < column) break;
      if (this.#columns[last] === column && !(this.#types[last] === Indent.Seq && !isEntry)) break;
      this.#popIndent();
    }
    while (this.#columns.length > 1 && !this.#proved.at(-1)! && !this.#isKeyOpen(this.#columns.length - 1))
      this.#popIndent();
  }

  #isKeyOpen(indent: number): boolean {
    for (const key of this.#keys) if (key.indent === indent) return true;
    return false;
  }

  #popAllIndents(): void {
    if (this.#flows.length > 0) return;
    while (this.#columns.length > 1) this.#popIndent();
  }

  #popIndent(): void {
    this.#columns.pop();
    const type = this.#types.pop();
    if (!this.#proved.pop()) this.#invalidateKey();
    else this.#push(type === Indent.Seq ? Token.BlockSeqEnd : Token.BlockMapEnd, this.#pos);
  }

  // Tokens

  #directive(): boolean {
    this.#popAllIndents();
    this.#popAllKeys();
    this.#keyAllowed = false;
    this.#jsonFlow = false;
    this.#push(Token.Directive, this.#pos);
    this.#skipLine();
    return true;
  }

  #documentMark(kind: number): boolean {
    this.#popAllIndents();
    this.#popAllKeys();
    this.#keyAllowed = false;
    this.#jsonFlow = false;
    this.#push(kind, this.#pos);
    this.#pos += 3;
    return true;
  }

  #flowStart(kind: number): boolean {
    this.#insertKey();
    this.#keyAllowed = true;
    this.#jsonFlow = false;
    this.#flows.push(kind);
    if (this.#flows.length > maxDepth)
      throw new SyntaxProblem(`more than ${maxDepth} levels deep`, this.#pos);
    this.#push(kind, this.#pos++);
    return true;
  }

  #endFlowEntry(): void {
    const flow = this.#flows.at(-1);
    if (flow === Token.FlowMapStart && this.#verifyKey()) this.#push(Token.Value, this.#pos);
    else if (flow === Token.FlowSeqStart) this.#invalidateKey();
  }

  #flowEnd(kind: number): boolean {
    if (this.#flows.length === 0) throw new SyntaxProblem('illegal flow end', this.#pos);
    this.#endFlowEntry();
    this.#keyAllowed = false;
    this.#jsonFlow = true;
    const opened = this.#flows.at(-1) === Token.FlowSeqStart ? Token.FlowSeqEnd : Token.FlowMapEnd;
    if (opened !== kind) throw new SyntaxProblem('illegal flow end', this.#pos);
    this.#flows.pop();
    this.#push(kind, this.#pos++);
    return true;
  }

  #flowEntry(): boolean {
    this.#endFlowEntry();
    this.#keyAllowed = true;
    this.#jsonFlow = false;
    this.#push(Token.FlowEntry, this.#pos++);
    return true;
  }

  #blockEntry(): boolean {
    if (this.#flows.length > 0 || !this.#keyAllowed) {
      throw new SyntaxProblem(
        'illegal block entry',
        this.#pos,
        'a list starts on a line of its own, below its key',
      );
    }
    this.#pushIndent(Indent.Seq);
    this.#keyAllowed = true;
    this.#jsonFlow = false;
    this.#push(Token.BlockEntry, this.#pos++);
    return true;
  }

  #key(): boolean {
    if (this.#flows.length === 0) {
      if (!this.#keyAllowed) throw new SyntaxProblem('illegal map key', this.#pos);
      this.#pushIndent(Indent.Map);
    }
    this.#keyAllowed = this.#flows.length === 0;
    this.#push(Token.Key, this.#pos++);
    return true;
  }

  #value(): boolean {
    const isSimpleKey = this.#verifyKey();
    this.#jsonFlow = false;
    if (isSimpleKey) {
      this.#keyAllowed = false;
    } else {
      if (this.#flows.length === 0) {
        if (!this.#keyAllowed) throw new SyntaxProblem('illegal map value', this.#pos, this.#whyNoValue());
        this.#pushIndent(Indent.Map);
      }
      this.#keyAllowed = this.#flows.length === 0;
    }
    this.#push(Token.Value, this.#pos++);
    return true;
  }

  #whyNoValue(): string {
    const line = this.#input.slice(this.#lineStart, this.#pos);
    if (/^ *\t/.test(line)) return 'indent with spaces, YAML does not allow a tab here';
    return 'put quotes around a value that contains ": ", or check the indentation of the line before';
  }

  #anchor(kind: number): boolean {
    this.#insertKey();
    this.#keyAllowed = false;
    this.#jsonFlow = false;
    const start = this.#pos++;
    const input = this.#input;
    while (this.#pos < input.length && !this.#isBlankAt(this.#pos) && !'[]{},'.includes(input[this.#pos]!))
      this.#pos++;
    if (this.#pos === start + 1) {
      const word = kind === Token.Alias ? 'alias not found after *' : 'anchor not found after &';
      throw new SyntaxProblem(word, this.#pos, `a value that starts with "${input[start]}" needs quotes`);
    }
    if (this.#pos < input.length && !this.#isBlankAt(this.#pos) && !'?:,]}%@`'.includes(input[this.#pos]!)) {
      const word = kind === Token.Alias ? 'alias' : 'anchor';
      throw new SyntaxProblem(`illegal character found while scanning ${word}`, this.#pos);
    }
    this.#push(kind, start, input.slice(start + 1, this.#pos));
    return true;
  }

  #tag(): boolean {
    this.#insertKey();
    this.#keyAllowed = false;
    this.#jsonFlow = false;
    const start = this.#pos++;
    const input = this.#input;
    if (input[this.#pos] === '<') {
      const end = input.indexOf('>', this.#pos);
      if (end < 0 || /\s/.test(input.slice(this.#pos, end))) {
        throw new SyntaxProblem('end of verbatim tag not found', this.#pos);
      }
      this.#pos = end + 1;
    } else {
      while (this.#pos < input.length && !this.#isBlankAt(this.#pos) && !',[]{}'.includes(input[this.#pos]!))
        this.#pos++;
    }
    this.#push(Token.Tag, start, input.slice(start, this.#pos));
    return true;
  }

  #plain(): boolean {
    const start = this.#pos;
    const inFlow = this.#flows.length > 0;
    // The indentation of what is around it: the map that this may be the first key of does not count yet.
    const indent = inFlow ? 0 : this.#columns.at(-1)! + 1;
    this.#insertKey();
    const value = this.#plainText(inFlow, indent);
    this.#keyAllowed = this.#leadingSpaces;
    this.#jsonFlow = false;
    this.#push(Token.Plain, start, value);
    return true;
  }

  /** Offset of the first character at or after `pos` that ends a plain scalar or the line. */
  #plainEnd(pos: number, inFlow: boolean): number {
    const input = this.#input;
    for (const end = input.length; pos < end; pos++) {
      const c = input.charCodeAt(pos);
      if (c > 0x5d && c !== 0x7b && c !== 0x7d) continue;
      if (c === LF || c === CR) break;
      if (c === 0x3a) {
        if (this.#isBlankAt(pos + 1)) break;
        if (inFlow && ',]}'.includes(input[pos + 1]!)) break;
      } else if (c === SPACE || c === TAB) {
        if (input.charCodeAt(pos + 1) === 0x23) break;
      } else if (inFlow && (c === 0x2c || c === 0x3f || c === 0x5b || c === 0x5d || c === 0x7b || c === 0x7d))
        break;
    }
    return pos;
  }

  #plainText(inFlow: boolean, indent: number): string {
    const input = this.#input;
    let end = this.#plainEnd(this.#pos, inFlow);
    let value = trimBlanks(input, this.#pos, end);
    this.#leadingSpaces = false;
    // One round per line break that the scalar may run across.
    for (;;) {
      this.#pos = end;
      const c = input.charCodeAt(end);
      if (end >= input.length || (c !== LF && c !== CR)) return value;
      let breaks = 0;
      for (;;) {
        const after = input.charCodeAt(this.#pos) === CR && input.charCodeAt(this.#pos + 1) === LF ? 2 : 1;
        if (input.charCodeAt(this.#pos + after) === 0x23 && after === 1) return value;
        this.#eatBreak();
        breaks++;
        if (!this.#skipIndentation(inFlow, indent)) return value;
        const d = input.charCodeAt(this.#pos);
        if (this.#pos >= input.length || (d !== LF && d !== CR)) break;
      }
      if (this.#pos >= input.length) return value;
      if (this.#pos - this.#lineStart < indent) {
        this.#leadingSpaces = true;
        return value;
      }
      if (this.#pos === this.#lineStart && isDocumentIndicator(input, this.#pos)) return value;
      end = this.#plainEnd(this.#pos, inFlow);
      if (end === this.#pos) return value;
      value += (breaks === 1 ? ' ' : '\n'.repeat(breaks - 1)) + trimBlanks(input, this.#pos, end);
    }
  }

  /** Moves over the blanks that start a line. False when a comment there ends the scalar. */
  #skipIndentation(_inFlow: boolean, indent: number): boolean {
    const input = this.#input;
    for (;;) {
      const c = input.charCodeAt(this.#pos);
      if (c !== SPACE && c !== TAB) return true;
      if (c === TAB && this.#pos - this.#lineStart < indent) {
        throw new SyntaxProblem('illegal tab when looking for indentation', this.#pos, 'indent with spaces');
      }
      if (input.charCodeAt(this.#pos + 1) === 0x23) {
        // A comment below the indentation starts a new line; one deeper only ends the scalar.
        if (this.#pos - this.#lineStart < indent) this.#leadingSpaces = true;
        return false;
      }
      this.#pos++;
    }
  }

  #quoted(quote: number): boolean {
    this.#insertKey();
    const start = this.#pos++;
    const value = this.#quotedText(quote);
    this.#keyAllowed = false;
    this.#jsonFlow = true;
    this.#push(Token.Quoted, start, value);
    return true;
  }

  #quotedText(quote: number): string {
    const input = this.#input;
    const opened = this.#pos - 1;
    let value = '';
    let from = this.#pos;
    // Blanks before a line break vanish, but not those that were escaped: `kept` is the length of value that stays.
    let kept = 0;
    for (;;) {
      const pos = this.#pos;
      if (pos >= input.length)
        throw new SyntaxProblem(
          'illegal EOF in scalar',
          opened,
          'the closing quote is missing',
          input.length,
        );
      const c = input.charCodeAt(pos);
      if (c === quote) {
        if (quote === 0x27 && input.charCodeAt(pos + 1) === 0x27) {
          value += input.slice(from, pos + 1);
          kept = value.length;
          this.#pos = pos + 2;
          from = this.#pos;
          continue;
        }
        value += input.slice(from, pos);
        this.#pos++;
        return value;
      }
      if (pos === this.#lineStart && isDocumentIndicator(input, pos)) {
        throw new SyntaxProblem('illegal document indicator in scalar', pos, 'the closing quote is missing');
      }
      if (c === 0x5c && quote === 0x22) {
        value += input.slice(from, pos);
        const next = input.charCodeAt(pos + 1);
        if (next === LF || next === CR) {
          this.#pos++;
          kept = value.length;
          value += this.#foldBreaks(true);
          if (this.#pos >= input.length) {
            this.openQuoteAt = opened;
            return chomp(value, 'clip');
          }
        } else {
          value += this.#escape();
          kept = value.length;
        }
        from = this.#pos;
        continue;
      }
      if (c === LF || c === CR) {
        value += input.slice(from, pos);
        let length = value.length;
        while (length > kept && (value[length - 1] === ' ' || value[length - 1] === '\t')) length--;
        value = value.slice(0, length) + this.#foldBreaks(false);
        kept = value.length;
        from = this.#pos;
        if (this.#pos >= input.length) {
          // yaml-cpp takes the end of the file for the missing quote, if it stands at the beginning of a line.
          this.openQuoteAt = opened;
          return chomp(value, 'clip');
        }
        continue;
      }
      this.#pos++;
    }
  }

  #foldBreaks(escaped: boolean): string {
    const input = this.#input;
    let breaks = 0;
    for (;;) {
      this.#eatBreak();
      breaks++;
      while (input.charCodeAt(this.#pos) === SPACE || input.charCodeAt(this.#pos) === TAB) this.#pos++;
      const c = input.charCodeAt(this.#pos);
      if (this.#pos >= input.length || (c !== LF && c !== CR)) break;
    }
    if (breaks > 1) return '\n'.repeat(breaks - 1);
    return escaped ? '' : ' ';
  }

  #escape(): string {
    const input = this.#input;
    const letter = input[this.#pos + 1];
    // What yaml-cpp reads behind the end is the character 4.
    if (letter === undefined)
      throw new SyntaxProblem('unknown escape character: \u0004', this.#pos, undefined, input.length + 1);
    const known = escapes[letter];
    if (known !== undefined) {
      this.#pos += 2;
      return known;
    }
    const length = unicodeLength[letter];
    if (length === undefined) {
      throw new SyntaxProblem(
        `unknown escape character: ${letter}`,
        this.#pos + 1,
        'write "\\\\" for a backslash, or use single quotes',
      );
    }
    const hex = input.slice(this.#pos + 2, this.#pos + 2 + length);
    if (hex.length < length || !/^[0-9a-fA-F]+$/.test(hex)) {
      throw new SyntaxProblem('bad character found while scanning hex number', this.#pos + 2);
    }
    const code = Number.parseInt(hex, 16);
    if ((code >= 0xd800 && code <= 0xdfff) || code > 0x10ffff) {
      throw new SyntaxProblem(`invalid unicode: ${code}`, this.#pos);
    }
    this.#pos += 2 + length;
    return String.fromCodePoint(code);
  }

  #blockScalar(indicator: number): boolean {
    const input = this.#input;
    const start = this.#pos++;
    const header = /^(?:[+-][0-9]?|[0-9][+-]?)/.exec(input.slice(this.#pos, this.#pos + 2))?.[0] ?? '';
    const digit = /[0-9]/.exec(header)?.[0];
    if (digit === '0') throw new SyntaxProblem('cannot set zero indentation for a block scalar', this.#pos);
    this.#pos += header.length;
    while (input.charCodeAt(this.#pos) === SPACE || input.charCodeAt(this.#pos) === TAB) this.#pos++;
    if (input.charCodeAt(this.#pos) === 0x23) this.#skipLine();
    if (
      this.#pos < input.length &&
      input.charCodeAt(this.#pos) !== LF &&
      input.charCodeAt(this.#pos) !== CR
    ) {
      throw new SyntaxProblem(
        'unexpected character in block scalar',
        this.#pos,
        'the text starts on the next line',
      );
    }
    const value = this.#blockText(indicator === 0x3e, Math.max(0, this.#columns.at(-1)!), digit);
    this.#keyAllowed = true;
    this.#jsonFlow = false;
    this.#push(
      Token.Quoted,
      start,
      chomp(value, header.includes('+') ? 'keep' : header.includes('-') ? 'strip' : 'clip'),
    );
    return true;
  }

  #blockText(folded: boolean, parent: number, digit: string | undefined): string {
    const input = this.#input;
    let indent = parent + (digit === undefined ? 1 : Number(digit));
    let detect = digit === undefined;
    let value = '';
    let started = false;
    let emptyLine = false;
    let moreIndented = false;
    let pendingBreaks = 0;
    let pendingMoreIndented = false;
    let seenText = false;
    while (this.#pos < input.length) {
      // The rest of a line.
      const from = this.#pos;
      if (from !== this.#lineStart || !isBreak(input.charCodeAt(from))) {
        const c = this.#skipLine();
        if (this.#pos > from) {
          value += input.slice(from, this.#pos);
          seenText = true;
          started = true;
          detect = false;
        }
        if (this.#pos >= input.length || !isBreak(c)) break;
      }
      this.#eatBreak();
      while (
        input.charCodeAt(this.#pos) === SPACE &&
        (this.#pos - this.#lineStart < indent || (detect && !seenText))
      ) {
        this.#pos++;
      }
      if (detect && !seenText) indent = Math.max(indent, this.#pos - this.#lineStart);
      const c = input.charCodeAt(this.#pos);
      if (c === TAB && this.#pos - this.#lineStart < indent) {
        throw new SyntaxProblem('illegal tab when looking for indentation', this.#pos, 'indent with spaces');
      }
      const nextEmpty = isBreak(c);
      const nextMoreIndented = c === SPACE || c === TAB;
      if (folded && pendingBreaks === 0 && nextEmpty) pendingMoreIndented = moreIndented;
      if (started) {
        if (!folded) {
          value += '\n';
        } else {
          if (
            !emptyLine &&
            !nextEmpty &&
            !moreIndented &&
            !nextMoreIndented &&
            this.#pos - this.#lineStart >= indent
          ) {
            value += ' ';
          } else if (nextEmpty) {
            pendingBreaks++;
          } else {
            value += '\n';
          }
          if (!nextEmpty && pendingBreaks > 0) {
            value += '\n'.repeat(pendingBreaks - 1);
            if (pendingMoreIndented || nextMoreIndented || !seenText) value += '\n';
            pendingBreaks = 0;
          }
        }
      }
      emptyLine = nextEmpty;
      moreIndented = nextMoreIndented;
      started = true;
      if (!emptyLine && this.#pos - this.#lineStart < indent) break;
    }
    return value;
  }
}

function firstTokenOf(key: SimpleKey): number {
  return key.mapToken >= 0 ? key.mapToken : key.keyToken;
}

function chomp(value: string, how: 'keep' | 'strip' | 'clip'): string {
  if (how === 'keep') return value;
  let end = value.length;
  while (end > 0 && value.charCodeAt(end - 1) === LF) end--;
  if (how === 'clip' && end > 0 && end < value.length) end++;
  return value.slice(0, end);
}

function trimBlanks(input: string, start: number, end: number): string {
  while (end > start && (input.charCodeAt(end - 1) === SPACE || input.charCodeAt(end - 1) === TAB)) end--;
  return input.slice(start, end);
}

function isBreak(c: number): boolean {
  return c === LF || c === CR;
}

function isDocumentMark(input: string, pos: number, mark: number): boolean {
  if (
    input.charCodeAt(pos) !== mark ||
    input.charCodeAt(pos + 1) !== mark ||
    input.charCodeAt(pos + 2) !== mark
  )
    return false;
  const c = input.charCodeAt(pos + 3);
  return pos + 3 >= input.length || c === SPACE || c === TAB || isBreak(c);
}

function isDocumentIndicator(input: string, pos: number): boolean {
  return isDocumentMark(input, pos, 0x2d) || isDocumentMark(input, pos, 0x2e);
}
