// How a proxy cuts a chunked body depends on how the bytes came in, not on what it means: framing is taken out before comparing.

/** Messages in a row, with the body of each chunked one in one piece. What does not parse stays as it is. */
export function dechunk(text: string): string {
  let out = '';
  let rest = text;
  for (;;) {
    const start = /transfer-encoding: chunked\r\n/i.exec(rest)?.index ?? -1;
    const headEnd = start < 0 ? -1 : rest.indexOf('\r\n\r\n', start);
    if (headEnd < 0) return out + rest;
    let at = headEnd + 4;
    let body = '';
    let isComplete = false;
    for (;;) {
      const lineEnd = rest.indexOf('\r\n', at);
      const size = lineEnd < 0 ? Number.NaN : Number.parseInt(rest.slice(at, lineEnd), 16);
      if (Number.isNaN(size)) break;
      at = lineEnd + 2;
      if (size === 0) {
        isComplete = true;
        break;
      }
      body += rest.slice(at, at + size);
      at += size + 2;
    }
    out += `${rest.slice(0, headEnd + 4)}⟨${body.length} bytes${isComplete ? '' : ', broken off'}⟩${body}\r\n`;
    rest = rest.slice(Math.min(at, rest.length));
  }
}
