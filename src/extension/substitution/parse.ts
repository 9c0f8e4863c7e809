// Substitution format strings: text with `%COMMAND(argument):length%` in it, `%%` for a percent sign.

export type Token =
  | string
  | {
      readonly command: string;
      /** Undefined when there are no parentheses. */
      readonly argument: string | undefined;
      /** -1: not cut. */
      readonly maxLength: number;
    };

const command = /%([A-Z0-9_]+)(?:\((.*?)\))?(?::([0-9]+))?%/sy;

/** The tokens, or what is wrong in Envoy's words. */
export function parseFormat(text: string): Token[] | { readonly problem: string } {
  const tokens: Token[] = [];
  let literal = '';
  for (let at = 0; at < text.length; ) {
    if (text[at] !== '%') {
      const next = text.indexOf('%', at);
      literal += text.slice(at, next < 0 ? text.length : next);
      at = next < 0 ? text.length : next;
    } else if (text[at + 1] === '%') {
      literal += '%';
      at += 2;
    } else {
      command.lastIndex = at;
      const found = command.exec(text);
      if (!found || Number(found[3] ?? 0) >= 2 ** 64)
        return { problem: `Incorrect configuration: ${text}. Couldn't find valid command at position ${at}` };
      if (literal !== '') tokens.push(literal);
      literal = '';
      tokens.push({
        command: found[1]!,
        argument: found[2],
        maxLength: found[3] === undefined ? -1 : Number(found[3]),
      });
      at = command.lastIndex;
    }
  }
  if (literal !== '') tokens.push(literal);
  return tokens;
}
