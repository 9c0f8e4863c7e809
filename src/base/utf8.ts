// Header values are latin1 strings that hold bytes; texts of a configuration are Unicode. They meet as bytes of UTF-8.
import { isUtf8 } from 'node:buffer';

/** The bytes of UTF-8, one character each. */
export function latin1OfUtf8(text: string): string {
  return /[^ -~\s]/.test(text) ? Buffer.from(text, 'utf8').toString('latin1') : text;
}

/**
 * The other way: text of bytes that should be UTF-8, with `!` for each byte that is not. Envoy writes header values into messages like
 * this.
 */
export function utf8OfLatin1(bytes: string): string {
  if (!/[\x80-\xff]/.test(bytes)) return bytes;
  const buffer = Buffer.from(bytes, 'latin1');
  if (!isUtf8(buffer)) replaceInvalid(buffer);
  return buffer.toString('utf8');
}

function replaceInvalid(bytes: Buffer): void {
  for (let i = 0; i < bytes.length; ) {
    const length = sequenceLength(bytes, i);
    if (length === 0) bytes[i++] = 0x21;
    else i += length;
  }
}

/** Of the character that begins at `i`; 0 when none does. */
function sequenceLength(bytes: Buffer, i: number): number {
  const first = bytes[i]!;
  if (first < 0x80) return 1;
  const length = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  return length > 0 && isUtf8(bytes.subarray(i, i + length)) && i + length <= bytes.length ? length : 0;
}
