// Numbers in headers that the router acts on: digits with a `+` and white space around them, if any, as absl's SimpleAtoi reads them.

const pattern = /^\s*\+?\d+\s*$/;
const most = 2 ** 64;

/** -1: it is none. */
export function headerNumber(text: string): number {
  const number = pattern.test(text) ? Number(text) : -1;
  return number < most ? number : -1;
}
