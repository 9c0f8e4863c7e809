// Which RE2 patterns may run on V8's backtracking engine: those for which this file can prove that a full match takes time linear
// in the text. The answer is JavaScript source with the same meaning, or undefined: then RE2's own algorithm has to do it.
//
// The texts it is for are ASCII without line feeds (the caller looks), so a set of characters is a mask of 128 bits. Proof, for a
// pattern as a sequence of parts:
// - A choice (loop on or leave, one branch or the other) that the next character decides costs nothing when it fails later.
// - A choice it does not decide is retried with all that follows it. That is harmless outside loops when what follows fails
//   within a bounded number of steps, or cannot fail at all (a last `.*`); so there is at most one such loop with an unbounded tail.
// - Inside a loop every choice must be decided.

type Node =
  | { readonly kind: 'set'; readonly mask: bigint }
  | { readonly kind: 'cat'; readonly parts: readonly Node[] }
  | { readonly kind: 'alt'; readonly branches: readonly Node[] }
  | { readonly kind: 'group'; readonly body: Node; readonly captures: boolean }
  | {
      readonly kind: 'repeat';
      readonly body: Node;
      readonly min: number;
      readonly max: number;
      readonly suffix: string;
    };

const all = (1n << 128n) - 1n;
const lineFeed = 1n << 10n;
const anyByte = all & ~lineFeed;
const maxRepeat = 200;
/** How often a tail may be tried again, all undecided choices of bounded length multiplied. */
const maxRetries = 64;

export interface LinearRegExp {
  /** JavaScript source of the whole pattern without anchors. */
  readonly source: string;
  /** Begins with `^`, so that a search tries one place only, and its groups mean the same in JavaScript. */
  readonly isSearchable: boolean;
  readonly isAnchoredAtEnd: boolean;
}

export function linearRegExp(pattern: string): LinearRegExp | undefined {
  const parser = new Parser(pattern);
  const node = parser.parse();
  if (node === undefined || !isLinear(node)) return undefined;
  return {
    source: source(node),
    isSearchable: parser.isAnchoredAtStart && !hasCaptureInLoop(node, false),
    isAnchoredAtEnd: parser.isAnchoredAtEnd,
  };
}

// Reading -------------------------------------------------------------------------------------------------------------------

/** Reads the part of RE2's syntax that is worth it; gives up (undefined) on everything else. */
class Parser {
  isAnchoredAtStart = false;
  isAnchoredAtEnd = false;
  readonly #text: string;
  #at = 0;
  #ignoreCase = false;
  #dotMatchesAll = false;
  #gaveUp = false;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
  }

  parse(): Node | undefined {
    const flags = /^\(\?([is]+)\)/.exec(this.#text);
    if (flags) {
      this.#ignoreCase = flags[1]!.includes('i');
      this.#dotMatchesAll = flags[1]!.includes('s');
      this.#at = flags[0].length;
    }
    if (this.#eat('^') || this.#eat('\\A')) this.isAnchoredAtStart = true;
    const node = this.#alternation();
    // An anchor binds tighter than `|`: `^a|b` is not `^(?:a|b)`.
    const isAnchored = this.isAnchoredAtStart || this.isAnchoredAtEnd;
    if (this.#gaveUp || this.#at < this.#text.length || (isAnchored && node.kind === 'alt')) return undefined;
    return node;
  }

  #eat(what: string): boolean {
    if (!this.#text.startsWith(what, this.#at)) return false;
    this.#at += what.length;
    return true;
  }

  #giveUp(): Node {
    this.#gaveUp = true;
    this.#at = this.#text.length;
    return { kind: 'cat', parts: [] };
  }

  #alternation(): Node {
    const branches = [this.#sequence()];
    while (this.#eat('|')) branches.push(this.#sequence());
    return branches.length === 1 ? branches[0]! : { kind: 'alt', branches };
  }

  #sequence(): Node {
    const parts: Node[] = [];
    const text = this.#text;
    while (this.#at < text.length) {
      const next = text[this.#at];
      if (next === '|' || next === ')') break;
      if (next === '$' || text.startsWith('\\z', this.#at)) {
        this.#at += next === '$' ? 1 : 2;
        if (this.#at < text.length || this.#depth > 0) return this.#giveUp();
        this.isAnchoredAtEnd = true;
        break;
      }
      parts.push(this.#repetition(this.#atom()));
    }
    return parts.length === 1 ? parts[0]! : { kind: 'cat', parts };
  }

  #repetition(body: Node): Node {
    const quantifier = /^(?:([*+?])|\{(\d{1,3})(?:(,)(\d{1,3})?)?\})(\??)/.exec(this.#text.slice(this.#at));
    if (!quantifier) return this.#text[this.#at] === '{' ? this.#giveUp() : body;
    this.#at += quantifier[0].length;
    // A second quantifier is an error or a nested loop; possessive ones do not exist in RE2.
    if (/^[*+?{]/.test(this.#text.slice(this.#at))) return this.#giveUp();
    const [, sign, low, comma, high] = quantifier;
    const min = sign === undefined ? Number(low) : sign === '+' ? 1 : 0;
    const max =
      sign === undefined
        ? comma === undefined
          ? min
          : high === undefined
            ? Number.POSITIVE_INFINITY
            : Number(high)
        : sign === '?'
          ? 1
          : Number.POSITIVE_INFINITY;
    if (min > maxRepeat || (max !== Number.POSITIVE_INFINITY && (max > maxRepeat || max < min)))
      return this.#giveUp();
    return { kind: 'repeat', body, min, max, suffix: quantifier[0] };
  }

  #atom(): Node {
    const char = this.#text[this.#at++]!;
    switch (char) {
      case '(':
        return this.#group();
      case '[':
        return this.#class();
      case '.':
        return { kind: 'set', mask: this.#dotMatchesAll ? all : anyByte };
      case '\\':
        return this.#set(this.#escape());
      case '^':
      case '*':
      case '+':
      case '?':
      case '{':
        return this.#giveUp();
      default:
        return char.charCodeAt(0) < 128 ? this.#set(bit(char.charCodeAt(0))) : this.#giveUp();
    }
  }

  #set(mask: bigint | undefined): Node {
    return mask === undefined
      ? this.#giveUp()
      : { kind: 'set', mask: this.#ignoreCase ? foldCase(mask) : mask };
  }

  #group(): Node {
    let captures = true;
    if (this.#eat('?:')) captures = false;
    else {
      const name = /^\?P?<[A-Za-z_]\w*>/.exec(this.#text.slice(this.#at));
      if (name) this.#at += name[0].length;
      else if (this.#text[this.#at] === '?') return this.#giveUp();
    }
    this.#depth++;
    const body = this.#alternation();
    this.#depth--;
    if (!this.#eat(')')) return this.#giveUp();
    return { kind: 'group', body, captures };
  }

  #class(): Node {
    const text = this.#text;
    const negated = this.#eat('^');
    let mask = 0n;
    let isFirst = true;
    for (;;) {
      if (this.#at >= text.length) return this.#giveUp();
      if (text[this.#at] === ']' && !isFirst) {
        this.#at++;
        break;
      }
      isFirst = false;
      const named = /^\[:(\^?)(\w+):\]/.exec(text.slice(this.#at));
      if (named) {
        const members = posixClasses[named[2]!];
        if (members === undefined) return this.#giveUp();
        this.#at += named[0].length;
        mask |= named[1] === '^' ? all & ~members : members;
        continue;
      }
      const low = this.#classMember();
      if (low === undefined) return this.#giveUp();
      if (text[this.#at] === '-' && this.#at + 1 < text.length && text[this.#at + 1] !== ']') {
        this.#at++;
        const high = this.#classMember();
        const from = single(low);
        const to = high === undefined ? undefined : single(high);
        if (from === undefined || to === undefined || to < from) return this.#giveUp();
        mask |= range(from, to);
      } else {
        mask |= low;
      }
    }
    if (this.#ignoreCase) mask = foldCase(mask);
    return { kind: 'set', mask: negated ? all & ~mask : mask };
  }

  #classMember(): bigint | undefined {
    const char = this.#text[this.#at++]!;
    if (char === '\\') return this.#escape();
    return char.charCodeAt(0) < 128 ? bit(char.charCodeAt(0)) : undefined;
  }

  /** After the backslash. */
  #escape(): bigint | undefined {
    const char = this.#text[this.#at++];
    if (char === undefined) return undefined;
    const known = perlClasses[char];
    if (known !== undefined) return known;
    if (char === 'x') {
      const hex = /^(?:([0-9A-Fa-f]{2})|\{([0-9A-Fa-f]{1,2})\})/.exec(this.#text.slice(this.#at));
      if (!hex) return undefined;
      this.#at += hex[0].length;
      const code = Number.parseInt(hex[1] ?? hex[2]!, 16);
      return code < 128 ? bit(code) : undefined;
    }
    return /[^A-Za-z0-9]/.test(char) && char.charCodeAt(0) < 128 ? bit(char.charCodeAt(0)) : undefined;
  }
}

function bit(code: number): bigint {
  return 1n << BigInt(code);
}

function range(from: number, to: number): bigint {
  return (1n << BigInt(to + 1)) - (1n << BigInt(from));
}

function single(mask: bigint): number | undefined {
  for (let code = 0; code < 128; code++) if (mask === bit(code)) return code;
  return undefined;
}

function foldCase(mask: bigint): bigint {
  const upper = mask & range(65, 90);
  const lower = mask & range(97, 122);
  return mask | (upper << 32n) | (lower >> 32n);
}

const digits = range(48, 57);
const letters = range(65, 90) | range(97, 122);
const word = digits | letters | bit(95);
const space = bit(9) | bit(10) | bit(12) | bit(13) | bit(32);

const perlClasses: Readonly<Record<string, bigint>> = {
  d: digits,
  D: all & ~digits,
  w: word,
  W: all & ~word,
  s: space,
  S: all & ~space,
  t: bit(9),
  n: bit(10),
  v: bit(11),
  f: bit(12),
  r: bit(13),
  a: bit(7),
};

const posixClasses: Readonly<Record<string, bigint>> = {
  alnum: digits | letters,
  alpha: letters,
  ascii: all,
  blank: bit(9) | bit(32),
  cntrl: range(0, 31) | bit(127),
  digit: digits,
  graph: range(33, 126),
  lower: range(97, 122),
  print: range(32, 126),
  punct: range(33, 47) | range(58, 64) | range(91, 96) | range(123, 126),
  space: range(9, 13) | bit(32),
  upper: range(65, 90),
  word,
  xdigit: digits | range(65, 70) | range(97, 102),
};

// Proving -------------------------------------------------------------------------------------------------------------------

function isNullable(node: Node): boolean {
  switch (node.kind) {
    case 'set':
      return false;
    case 'cat':
      return node.parts.every(isNullable);
    case 'alt':
      return node.branches.some(isNullable);
    case 'group':
      return isNullable(node.body);
    case 'repeat':
      return node.min === 0 || isNullable(node.body);
  }
}

/** The characters a match can begin with; what follows is added when the node can be empty. */
function first(node: Node, follow: bigint): bigint {
  switch (node.kind) {
    case 'set':
      return node.mask;
    case 'cat':
      return node.parts.reduceRight((next, part) => first(part, next), follow);
    case 'alt':
      return node.branches.reduce((mask, branch) => mask | first(branch, follow), 0n);
    case 'group':
      return first(node.body, follow);
    case 'repeat': {
      const body = first(node.body, follow);
      return isNullable(node) ? body | follow : body;
    }
  }
}

/** Every choice in `node` is decided by the next character. The end of the text is no character, so it never collides. */
function isDecided(node: Node, follow: bigint): boolean {
  switch (node.kind) {
    case 'set':
      return true;
    case 'group':
      return isDecided(node.body, follow);
    case 'cat': {
      let next = follow;
      for (const part of node.parts.toReversed()) {
        if (!isDecided(part, next)) return false;
        next = first(part, next);
      }
      return true;
    }
    case 'alt': {
      let seen = 0n;
      for (const branch of node.branches) {
        const begins = first(branch, follow);
        if ((seen & begins) !== 0n || !isDecided(branch, follow)) return false;
        seen |= begins;
      }
      return node.branches.filter(isNullable).length <= 1;
    }
    case 'repeat': {
      if (node.max <= 1 && node.min === node.max) return isDecided(node.body, follow);
      if (isNullable(node.body)) return false;
      const body = first(node.body, 0n);
      // A counted loop `{3}` makes no choice, any other has to know when to leave.
      if (node.min !== node.max && (body & follow) !== 0n) return false;
      return isDecided(node.body, node.max > 1 ? body | follow : follow);
    }
  }
}

/** What follows a part: only the end; steps in bounded number; in linear number; or something that always succeeds. */
const Tail = { End: 0, Bounded: 1, Linear: 2, NeverFails: 3 } as const;
type Tail = (typeof Tail)[keyof typeof Tail];

function isLinear(node: Node): boolean {
  return tailOf(node, Tail.End, 0n, { retries: 1 }) !== undefined;
}

/** What it costs to try `node` and then what follows, or undefined when that cannot be bounded. */
function tailOf(node: Node, tail: Tail, follow: bigint, budget: { retries: number }): Tail | undefined {
  switch (node.kind) {
    case 'set':
      return tail === Tail.Linear ? Tail.Linear : Tail.Bounded;
    case 'group':
      return tailOf(node.body, tail, follow, budget);
    case 'cat': {
      let rest: Tail | undefined = tail;
      let next = follow;
      for (const part of node.parts.toReversed()) {
        rest = tailOf(part, rest, next, budget);
        if (rest === undefined) return undefined;
        next = first(part, next);
      }
      return rest;
    }
    case 'alt': {
      if (!spend(budget, node.branches.length)) return undefined;
      let worst: Tail = Tail.Bounded;
      for (const branch of node.branches) {
        const cost = tailOf(branch, tail, follow, budget);
        if (cost === undefined) return undefined;
        if (cost === Tail.Linear) worst = Tail.Linear;
      }
      return worst;
    }
    case 'repeat': {
      if (tail === Tail.End && matchesAnyRest(node)) return Tail.NeverFails;
      if (node.max === 1 || (node.body.kind === 'set' && node.max <= maxRepeat)) {
        if (!isDecided(node, follow) && !spend(budget, node.max - node.min + 1)) return undefined;
        const cost = tailOf(node.body, tail, follow, budget);
        if (cost === undefined) return undefined;
        return cost === Tail.Linear || tail === Tail.Linear ? Tail.Linear : Tail.Bounded;
      }
      if (isDecided(node, follow)) return Tail.Linear;
      return node.body.kind === 'set' && tail !== Tail.Linear ? Tail.Linear : undefined;
    }
  }
}

function spend(budget: { retries: number }, times: number): boolean {
  budget.retries *= times;
  return budget.retries <= maxRetries;
}

/** `.*` as the last part: given texts without line feeds it takes all there is. */
function matchesAnyRest(node: Node & { kind: 'repeat' }): boolean {
  return (
    node.min === 0 &&
    node.max === Number.POSITIVE_INFINITY &&
    node.body.kind === 'set' &&
    (node.body.mask & anyByte) === anyByte
  );
}

/** A captured group in a loop keeps its last value in RE2 and loses it in JavaScript. */
function hasCaptureInLoop(node: Node, inLoop: boolean): boolean {
  switch (node.kind) {
    case 'set':
      return false;
    case 'cat':
      return node.parts.some((part) => hasCaptureInLoop(part, inLoop));
    case 'alt':
      return node.branches.some((branch) => hasCaptureInLoop(branch, inLoop));
    case 'group':
      return (inLoop && node.captures) || hasCaptureInLoop(node.body, inLoop);
    case 'repeat':
      return hasCaptureInLoop(node.body, inLoop || node.max > 1);
  }
}

// Writing -------------------------------------------------------------------------------------------------------------------

function source(node: Node): string {
  switch (node.kind) {
    case 'set':
      return setSource(node.mask);
    case 'cat':
      return node.parts.map(source).join('');
    case 'alt':
      return node.branches.map(source).join('|');
    case 'group':
      return `(${node.captures ? '' : '?:'}${source(node.body)})`;
    case 'repeat':
      return source(node.body) + node.suffix;
  }
}

function setSource(mask: bigint): string {
  const code = single(mask);
  if (code !== undefined) return hex(code);
  if (mask === all) return '[^]';
  const negated = (mask & 1n) === 1n && mask !== all;
  let rest = negated ? all & ~mask : mask;
  let members = '';
  for (let from = 0; from < 128; from++) {
    if ((rest & bit(from)) === 0n) continue;
    let to = from;
    while (to < 127 && (rest & bit(to + 1)) !== 0n) to++;
    members += to === from ? hex(from) : `${hex(from)}-${hex(to)}`;
    rest &= ~range(from, to);
    from = to;
  }
  return `[${negated ? '^' : ''}${members}]`;
}

function hex(code: number): string {
  const char = String.fromCharCode(code);
  return /[A-Za-z0-9/_]/.test(char) ? char : `\\x${code.toString(16).padStart(2, '0')}`;
}
