// The words of protobuf's text format: names, numbers, strings, signs, each with its place. Comments and space are passed over.

export interface Token {
  readonly kind: 'name' | 'number' | 'string' | 'sign' | 'end';
  /** As written; of a string, with its quotes. */
  readonly text: string;
  readonly offset: number;
}

export class TextSyntaxError extends Error {
  override readonly name = 'TextSyntaxError';
  readonly offset: number;

  constructor(problem: string, offset: number) {
    super(problem);
    this.offset = offset;
  }
}

const space = /(?:\s+|#[^\n]*)*/y;
const name = /[A-Za-z_][A-Za-z0-9_]*/y;
const number = /0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?[fF]?/y;
const string = /"(?:[^"\\\n]|\\[^\n])*"|'(?:[^'\\\n]|\\[^\n])*'/y;
const signs = '{}<>[]:,;/-.%';

export class TextScanner {
  readonly #text: string;
  #offset = 0;
  /** The token that comes next. */
  token: Token;

  constructor(text: string) {
    this.#text = text;
    this.token = this.#scan();
  }

  /** Takes the next token. */
  take(): Token {
    const { token } = this;
    if (token.kind !== 'end') this.token = this.#scan();
    return token;
  }

  /** Takes the next token if it is that sign. */
  takeSign(sign: string): boolean {
    if (!this.isSign(sign)) return false;
    this.take();
    return true;
  }

  isSign(sign: string): boolean {
    return this.token.kind === 'sign' && this.token.text === sign;
  }

  #scan(): Token {
    this.#match(space);
    const offset = this.#offset;
    const first = this.#text[offset];
    if (first === undefined) return { kind: 'end', text: 'the end', offset };
    const text = this.#match(name);
    if (text) return { kind: 'name', text, offset };
    const digits = this.#match(number);
    if (digits) {
      if (/[A-Za-z0-9_]/.test(this.#text[this.#offset] ?? ''))
        throw new TextSyntaxError('not a number', offset);
      return { kind: 'number', text: digits, offset };
    }
    const quoted = this.#match(string);
    if (quoted) return { kind: 'string', text: quoted, offset };
    if (first === '"' || first === "'") throw new TextSyntaxError('text without closing quote', offset);
    if (!signs.includes(first)) throw new TextSyntaxError(`unexpected ${JSON.stringify(first)}`, offset);
    this.#offset++;
    return { kind: 'sign', text: first, offset };
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#offset;
    const found = pattern.exec(this.#text)?.[0] ?? '';
    this.#offset += found.length;
    return found;
  }
}

const simpleEscapes: Readonly<Record<string, number>> = { a: 7, b: 8, f: 12, n: 10, r: 13, t: 9, v: 11 };

/** The bytes of a string token. */
export function unquote({ text, offset }: Token): Buffer {
  const parts: (Buffer | number)[] = [];
  const piece =
    /\\(?:([0-7]{1,3})|[xX]([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([abfnrtv\\'"?]))|([^\\]+)|(\\)/g;
  for (const match of text.slice(1, -1).matchAll(piece)) {
    const [, octal, hex, unit, point, simple, plain] = match;
    const unicode = unit ?? point;
    if (plain !== undefined) parts.push(Buffer.from(plain));
    else if (octal !== undefined) parts.push(Number.parseInt(octal, 8) & 0xff);
    else if (hex !== undefined) parts.push(Number.parseInt(hex, 16));
    else if (simple !== undefined) parts.push(simpleEscapes[simple] ?? simple.charCodeAt(0));
    else if (unicode !== undefined && Number.parseInt(unicode, 16) <= 0x10ffff)
      parts.push(Buffer.from(String.fromCodePoint(Number.parseInt(unicode, 16))));
    else throw new TextSyntaxError('unknown escape in text', offset + 1 + match.index);
  }
  return Buffer.concat(parts.map((it) => (typeof it === 'number' ? Buffer.of(it) : it)));
}

/** A double-quoted string, other bytes than printable ASCII and UTF-8 escaped. */
export function quote(value: string | Uint8Array): string {
  if (typeof value === 'string')
    return `"${value.replace(/["\\]|\p{Cc}/gu, (it) => escapes[it] ?? (it < '\x80' ? octal(it.charCodeAt(0)) : it))}"`;
  let text = '"';
  for (const byte of value) {
    const char = String.fromCharCode(byte);
    text += escapes[char] ?? (byte < 0x20 || byte > 0x7e ? octal(byte) : char);
  }
  return `${text}"`;
}

const escapes: Readonly<Record<string, string>> = {
  '"': '\\"',
  '\\': '\\\\',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
};
const octal = (byte: number) => `\\${byte.toString(8).padStart(3, '0')}`;
