// Numbers as Envoy's pages print them: three conventions of its libraries.

/** A counter or a gauge. A gauge below zero is what is left of 2^64. */
export function integer(value: number): string {
  if (value < 0) return BigInt.asUintN(64, BigInt(value)).toString();
  if (Number.isSafeInteger(value)) return String(value);
  return (hashes.get(value) ?? BigInt(Math.trunc(value))).toString();
}

/** Hashes of 64 bits by the doubles that stand for them. */
const hashes = new Map<number, bigint>();
const maxHashes = 10_000;

/** The value of a gauge that shows a hash: printed with all its digits. */
export function hashValue(hash: bigint): number {
  const value = Number(hash);
  if (hashes.size >= maxHashes) hashes.clear();
  hashes.set(value, hash);
  return value;
}

/** The shortest text that reads back the same, as in the text pages: `200.4`, `nan`. */
export function shortest(value: number): string {
  if (Number.isNaN(value)) return 'nan';
  const exponent = exponentOf(value);
  return exponent < -4 || exponent >= 16 ? scientific(value) : fixed(value);
}

/** The shorter of both notations, as in JSON: `3e+05`, `1800000`. */
export function shortestJson(value: number): string {
  if (!Number.isFinite(value)) return 'null';
  const plain = fixed(value);
  const exponential = scientific(value);
  return exponential.length < plain.length ? exponential : plain;
}

/** At most `digits` significant ones, as of C's %g. */
export function significant(value: number, digits: number): string {
  if (Number.isNaN(value)) return 'nan';
  if (value === 0) return '0';
  const exponent = Number(value.toExponential(digits - 1).split('e')[1]);
  if (exponent >= -4 && exponent < digits) {
    const text = value.toFixed(Math.min(Math.max(digits - 1 - exponent, 0), 100));
    return text.includes('.') ? text.replace(/\.?0+$/, '') : text;
  }
  const [mantissa, power] = value.toExponential(digits - 1).split('e');
  const trimmed = mantissa!.includes('.') ? mantissa!.replace(/\.?0+$/, '') : mantissa!;
  return `${trimmed}e${padExponent(power!)}`;
}

function exponentOf(value: number): number {
  return value === 0 ? 0 : Number(value.toExponential().split('e')[1]);
}

function scientific(value: number): string {
  const [mantissa, power] = value.toExponential().split('e');
  return `${mantissa}e${padExponent(power!)}`;
}

function padExponent(power: string): string {
  return `${power[0]}${power.slice(1).padStart(2, '0')}`;
}

/** Without an exponent, whatever the size. */
function fixed(value: number): string {
  const text = String(value);
  if (!text.includes('e')) return text;
  const exponent = exponentOf(value);
  if (exponent > 0) return BigInt(value).toString();
  return value.toFixed(Math.min(100, -exponent + text.split('e')[0]!.replace(/[-.]/g, '').length - 1));
}
