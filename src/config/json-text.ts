// JSON text -> tree, as lenient as protobuf's reader: trailing commas, single quotes, names without quotes. Numbers that a double
// cannot hold stay exact. Duplicate keys stay in, because a message given twice is merged.

import { maxDepth, SyntaxProblem, type Tree, TreeList, TreeMap } from './tree.ts';

/** Throws a `SyntaxProblem` with the words of protobuf's JSON reader. */
export function parseJson(text: string): { readonly tree: Tree; readonly start: number } {
  return new JsonParser(text).document();
}

const escapes: Readonly<Record<string, string>> = {
  '"': '"',
  "'": "'",
  '\\': '\\',
  '/': '/',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
};

class JsonParser {
  readonly #text: string;
  #pos = 0;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
  }

  document(): { tree: Tree; start: number } {
    this.#space();
    const start = this.#pos;
    if (start >= this.#text.length) throw new SyntaxProblem('unexpected EOF', start, 'the file is empty');
    if (this.#text[start] !== '{') {
      const hint = /^[\w"'@-]+ *:/.test(this.#text.slice(start))
        ? 'a YAML file has to end in .yaml or .yml'
        : undefined;
      throw new SyntaxProblem(`unexpected character: '${this.#text[start]}'; expected '{'`, start, hint);
    }
    const tree = this.#value();
    this.#space();
    if (this.#pos < this.#text.length) {
      throw new SyntaxProblem('extraneous characters after end of JSON object', this.#pos);
    }
    return { tree, start };
  }

  #space(): void {
    const text = this.#text;
    for (;;) {
      const c = text.charCodeAt(this.#pos);
      if (c !== 32 && c !== 10 && c !== 13 && c !== 9) return;
      this.#pos++;
    }
  }

  #fail(expected: string): never {
    const found = this.#text[this.#pos];
    if (found === undefined) throw new SyntaxProblem('unexpected EOF', this.#pos, 'the file ends too early');
    if (found === '/' || found === '#')
      throw new SyntaxProblem('expected bare word', this.#pos, 'JSON has no comments');
    throw new SyntaxProblem(
      `unexpected character: '${found}'${expected === '' ? '' : `; expected ${expected}`}`,
      this.#pos,
    );
  }

  #value(): Tree {
    const c = this.#text[this.#pos];
    if (c === '{') return this.#object();
    if (c === '[') return this.#array();
    if (c === '"' || c === "'") return this.#string(c);
    if (c !== undefined && /[-0-9]/.test(c)) return this.#number();
    for (const [word, value] of [
      ['true', true],
      ['false', false],
      ['null', null],
    ] as const) {
      if (!this.#text.startsWith(word, this.#pos)) continue;
      this.#pos += word.length;
      return value;
    }
    return this.#fail('');
  }

  #enter(): void {
    if (++this.#depth > maxDepth) throw new SyntaxProblem(`more than ${maxDepth} levels deep`, this.#pos);
  }

  #object(): TreeMap {
    this.#enter();
    const map = new TreeMap(this.#pos++);
    for (;;) {
      this.#space();
      const c = this.#text[this.#pos];
      if (c === '}') break;
      const keyAt = this.#pos;
      const key = c === '"' || c === "'" ? this.#string(c) : this.#bareWord();
      this.#space();
      if (this.#text[this.#pos] !== ':') this.#fail("':'");
      this.#pos++;
      this.#space();
      const valueAt = this.#pos;
      map.keys.push(key);
      map.values.push(this.#value());
      map.keyAt.push(keyAt);
      map.valueAt.push(valueAt);
      if (!this.#comma('}')) break;
    }
    this.#pos++;
    this.#depth--;
    return map;
  }

  #array(): TreeList {
    this.#enter();
    const list = new TreeList(this.#pos++);
    for (;;) {
      this.#space();
      if (this.#text[this.#pos] === ']') break;
      list.itemAt.push(this.#pos);
      list.items.push(this.#value());
      if (!this.#comma(']')) break;
    }
    this.#pos++;
    this.#depth--;
    return list;
  }

  /** Moves over a comma; false at the end of the container. */
  #comma(end: string): boolean {
    this.#space();
    const c = this.#text[this.#pos];
    if (c === end) return false;
    if (c !== ',') this.#fail("','");
    this.#pos++;
    return true;
  }

  #bareWord(): string {
    const word = /[A-Za-z_][\w.]*/y;
    word.lastIndex = this.#pos;
    const match = word.exec(this.#text);
    if (match === null) this.#fail("'\"'");
    this.#pos = word.lastIndex;
    return match[0];
  }

  #number(): number | bigint {
    const number = /-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
    number.lastIndex = this.#pos;
    const match = number.exec(this.#text)?.[0];
    if (match === undefined) return this.#fail('');
    if (/^-?0\d/.test(match))
      throw new SyntaxProblem('number cannot have extraneous leading zero', this.#pos);
    this.#pos = number.lastIndex;
    const value = Number(match);
    return Number.isSafeInteger(value) || !/^-?\d+$/.test(match) ? value : BigInt(match);
  }

  #string(quote: string): string {
    const text = this.#text;
    const opened = this.#pos++;
    let value = '';
    let from = this.#pos;
    for (;;) {
      const c = text[this.#pos];
      if (c === undefined) throw new SyntaxProblem('unexpected EOF', opened, 'the closing quote is missing');
      if (c === quote) {
        value += text.slice(from, this.#pos++);
        return value;
      }
      if (c !== '\\') {
        this.#pos++;
        continue;
      }
      value += text.slice(from, this.#pos);
      value += this.#escape();
      from = this.#pos;
    }
  }

  #escape(): string {
    const letter = this.#text[this.#pos + 1] ?? '';
    if (letter !== 'u') {
      const known = escapes[letter];
      if (known === undefined)
        throw new SyntaxProblem(
          `invalid escape char: '${letter}'`,
          this.#pos,
          'write "\\\\" for a backslash',
        );
      this.#pos += 2;
      return known;
    }
    const first = this.#unit();
    if (first < 0xd800 || first > 0xdfff) return String.fromCharCode(first);
    if (first > 0xdbff || !this.#text.startsWith('\\u', this.#pos)) {
      throw new SyntaxProblem("half of a surrogate pair; expected '\\u'", this.#pos);
    }
    const second = this.#unit();
    if (second < 0xdc00 || second > 0xdfff) throw new SyntaxProblem('invalid low surrogate', this.#pos);
    return String.fromCharCode(first, second);
  }

  #unit(): number {
    const hex = this.#text.slice(this.#pos + 2, this.#pos + 6);
    if (!/^[0-9a-fA-F]{4}$/.test(hex)) throw new SyntaxProblem('invalid \\u escape', this.#pos);
    this.#pos += 6;
    return Number.parseInt(hex, 16);
  }
}
