// Header values are latin1 strings that hold bytes; texts of a configuration are Unicode. They meet as bytes of UTF-8.

/** The bytes of UTF-8, one character each. */
export function latin1OfUtf8(text: string): string {
  return /[^ -~\s]/.test(text) ? Buffer.from(text, 'utf8').toString('latin1') : text;
}
