let state = (Math.random() * 0x7fffffff) | 0 || 1;

/** Not negative, 31 bits. Xorshift: cheap, and good enough to spread load. */
export function nextRandom(): number {
  let x = state;
  x ^= x << 13;
  x ^= x >>> 17;
  x ^= x << 5;
  state = x;
  return x & 0x7fffffff;
}

/** Another one of the same kind, made from the last: for those who were given a number and need a few more. */
export function randomAfter(random: number): number {
  return (Math.imul(random, 1103515245) + 12345) & 0x7fffffff;
}
