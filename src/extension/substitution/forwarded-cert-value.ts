// One value of x-forwarded-client-cert: elements separated by commas, pairs by semicolons, values perhaps in quotes.

/** The first value of `key` (lower case) in any element; undefined when there is none or a quote is open. */
export function forwardedCertValue(header: string, key: string): string | undefined {
  for (const element of splitUnquoted(header, ',') ?? []) {
    for (const pair of splitUnquoted(element, ';') ?? []) {
      const equals = pair.indexOf('=');
      if (equals < 0 || pair.slice(0, equals).trim().toLowerCase() !== key) continue;
      const value = pair.slice(equals + 1).trim();
      if (value.length < 2 || !value.startsWith('"') || !value.endsWith('"')) return value;
      return value.slice(1, -1).replace(/\\(["\\])/g, '$1');
    }
  }
  return undefined;
}

/** Undefined: a quote is open at the end. */
function splitUnquoted(text: string, separator: string): string[] | undefined {
  const parts: string[] = [];
  let start = 0;
  let isQuoted = false;
  for (let i = 0; i < text.length; i++) {
    if (isQuoted && text[i] === '\\') i++;
    else if (text[i] === '"') isQuoted = !isQuoted;
    else if (text[i] === separator && !isQuoted) {
      parts.push(text.slice(start, i));
      start = i + 1;
    }
  }
  if (isQuoted) return undefined;
  return [...parts, text.slice(start)];
}
