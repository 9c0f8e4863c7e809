// The Huffman code of HPACK (RFC 7541 appendix B). Decoding walks four bits at a time through one table of 16 KiB, which
// stays in the first-level cache; encoding looks up code and length per byte.

/** Bits of the code of each byte, and of the end-of-string symbol. The code is canonical: the lengths define it. */
// biome-ignore format: a table
const bitLengths = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
  28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
  5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7,
  7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
  15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7,
  7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
  24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21,
  23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
  26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24,
  21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
  26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];
const endOfString = 256;

const codes = new Uint32Array(257);
const lengths = new Uint8Array(256);

// One row of 16 per inner node of the code tree: next node | byte << 8 | emits << 16 | fails << 17.
const transitions = new Uint32Array(256 * 16);
const emits = 1 << 16;
const fails = 1 << 17;
/** Nodes at which a string may end: the root, and up to seven one-bits below it (the padding). */
const mayEnd = new Uint8Array(256);

build();

function build(): void {
  const symbols = [...bitLengths.keys()].sort((a, b) => bitLengths[a]! - bitLengths[b]! || a - b);
  // children[2n], children[2n + 1]: an inner node, or -1 - symbol.
  const children: (number | undefined)[] = [undefined, undefined];
  let code = 0;
  let length = bitLengths[symbols[0]!]!;
  for (const symbol of symbols) {
    code *= 2 ** (bitLengths[symbol]! - length);
    length = bitLengths[symbol]!;
    codes[symbol] = code;
    if (symbol < 256) lengths[symbol] = length;
    let node = 0;
    for (let bit = length - 1; bit > 0; bit--) {
      const at = node * 2 + (Math.floor(code / 2 ** bit) % 2);
      if (children[at] === undefined) {
        children[at] = children.length / 2;
        children.push(undefined, undefined);
      }
      node = children[at]!;
    }
    children[node * 2 + (code % 2)] = -1 - symbol;
    code++;
  }
  for (let node = 0; node < 256; node++) {
    for (let nibble = 0; nibble < 16; nibble++) {
      let at = node;
      let entry = 0;
      for (let bit = 3; bit >= 0 && entry !== fails; bit--) {
        const child = children[at * 2 + ((nibble >> bit) & 1)]!;
        if (child >= 0) at = child;
        else if (child === -1 - endOfString) entry = fails;
        else {
          entry = emits | ((-1 - child) << 8);
          at = 0;
        }
      }
      transitions[node * 16 + nibble] = entry === fails ? fails : entry | at;
    }
  }
  for (let node = 0, depth = 0; depth < 8; depth++) {
    mayEnd[node] = 1;
    node = children[node * 2 + 1]!;
  }
}

/**
 * Decodes `source[start, end)` into `target`, which must have room for 8/5 of it. Returns the number of bytes, or -1: the
 * end-of-string symbol inside, or padding that is too long or not all ones.
 */
export function decodeHuffman(source: Uint8Array, start: number, end: number, target: Uint8Array): number {
  let node = 0;
  let out = 0;
  for (let i = start; i < end; i++) {
    const byte = source[i]!;
    let entry = transitions[(node << 4) | (byte >> 4)]!;
    if (entry >= emits) {
      if (entry >= fails) return -1;
      target[out++] = entry >> 8;
    }
    entry = transitions[((entry & 0xff) << 4) | (byte & 15)]!;
    if (entry >= emits) {
      if (entry >= fails) return -1;
      target[out++] = entry >> 8;
    }
    node = entry & 0xff;
  }
  return mayEnd[node] === 1 ? out : -1;
}

/** Bytes that latin1 `text` takes when encoded. */
export function huffmanLength(text: string): number {
  let bits = 0;
  for (let i = 0; i < text.length; i++) bits += lengths[text.charCodeAt(i) & 0xff]!;
  return (bits + 7) >> 3;
}

/** Encodes latin1 `text` into `target` from `at` on; returns where it ends. */
export function encodeHuffman(text: string, target: Uint8Array, at: number): number {
  let pending = 0; // at most 7 bits between two bytes of the text
  let bits = 0;
  for (let i = 0; i < text.length; i++) {
    const byte = text.charCodeAt(i) & 0xff;
    const length = lengths[byte]!;
    if (length <= 24) {
      pending = (pending << length) | codes[byte]!;
      bits += length;
    } else {
      // 7 + 30 bits do not fit in an integer: the upper part first.
      const code = codes[byte]!;
      pending = (pending << (length - 8)) | (code >>> 8);
      bits += length - 8;
      while (bits >= 8) {
        bits -= 8;
        target[at++] = pending >>> bits;
      }
      pending = ((pending & ((1 << bits) - 1)) << 8) | (code & 0xff);
      bits += 8;
    }
    while (bits >= 8) {
      bits -= 8;
      target[at++] = pending >>> bits;
    }
    pending &= (1 << bits) - 1;
  }
  if (bits > 0) target[at++] = (pending << (8 - bits)) | (0xff >> bits);
  return at;
}
