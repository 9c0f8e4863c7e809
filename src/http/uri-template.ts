// URI templates of `envoy.path.match.uri_template` and `envoy.path.rewrite.uri_template`, turned into regular expressions:
// `/media/{country}/{lang=*}/{rest=**}.m3u8`. A variable is a group, in the order in which they appear. Problems in Envoy's words.

/** What a segment may consist of (RFC 3986 pchar without the slash). */
const segment = "[a-zA-Z0-9\\-._~%!$&'()+,;:@=]+";
const anyPath = "[a-zA-Z0-9\\-._~%!$&'()+,;:@=/]*";
const literalCharacters = /^[a-zA-Z0-9\-._~%!$&'()+,;:@=*]+$/;

export interface UriTemplate {
  readonly regex: string;
  /** Text before the first operator. */
  readonly literal: string;
  readonly variables: readonly string[];
}

export interface Problem {
  readonly problem: string;
}

export function parseUriTemplate(template: string): UriTemplate | Problem {
  if (!/^\/[a-zA-Z0-9\-._~%!$&'()+,;:@=*/{}]*$/.test(template))
    return { problem: `Invalid pattern: "${template}"` };
  return new TemplateParser().parse(template);
}

class TemplateParser {
  readonly #variables: string[] = [];
  #hasAnyPath = false;

  parse(template: string): UriTemplate | Problem {
    let regex = '';
    const segments = template.slice(1).split(/\/(?![^{]*\})/);
    for (const [i, text] of segments.entries()) {
      const isLast = i === segments.length - 1;
      const found = text === '' && isLast ? '' : this.#segment(text);
      if (typeof found !== 'string') return found;
      regex += `/${found}`;
    }
    return { regex, literal: /^[^{*]*/.exec(template)![0], variables: this.#variables };
  }

  /** An operator or a variable with literals around it, or a literal. */
  #segment(text: string): string | Problem {
    if (text.startsWith('*')) {
      const glob = text.startsWith('**') ? '**' : '*';
      const suffix = text.slice(glob.length);
      if (suffix !== '' && !literalCharacters.test(suffix))
        return { problem: `Invalid literal: "${suffix}"` };
      const found = this.#glob(glob);
      return typeof found === 'string' ? found + escaped(suffix) : found;
    }
    const open = text.indexOf('{');
    if (open < 0)
      return literalCharacters.test(text) ? escaped(text) : { problem: `Invalid literal: "${text}"` };
    const close = text.indexOf('}', open);
    if (close < 0) return { problem: `Unmatched variable bracket in mixed pattern: "${text}"` };
    const suffix = text.slice(close + 1);
    if (suffix !== '' && !literalCharacters.test(suffix))
      return { problem: `Invalid suffix literal: "${suffix}"` };
    const variable = this.#variable(text.slice(open + 1, close));
    return typeof variable === 'string'
      ? escaped(text.slice(0, open)) + variable + escaped(suffix)
      : variable;
  }

  #variable(text: string): string | Problem {
    const equals = text.indexOf('=');
    const name = equals < 0 ? text : text.slice(0, equals);
    const pattern = equals < 0 ? '*' : text.slice(equals + 1);
    if (name.length > 16) {
      return {
        problem: `Invalid variable name length (length of "${name}" should be at least 1 and no more than 16)`,
      };
    }
    if (!/^[a-zA-Z][a-zA-Z0-9_]*$/.test(name)) return { problem: `Invalid variable name: "${name}"` };
    if (this.#variables.includes(name)) return { problem: `Repeated variable name: "${name}"` };
    this.#variables.push(name);
    if (pattern === '') return { problem: 'Empty variable match' };
    const parts: string[] = [];
    for (const piece of pattern.split('/')) {
      const glob = /^\*\*?/.exec(piece)?.[0];
      if (glob === undefined) {
        if (!literalCharacters.test(piece)) return { problem: `Invalid literal: "${piece}"` };
        parts.push(escaped(piece));
        continue;
      }
      if (glob !== piece) return { problem: `Invalid variable match: "${piece.slice(glob.length)}"` };
      const found = this.#glob(glob);
      if (typeof found !== 'string') return found;
      parts.push(found);
    }
    return `(${parts.join('/')})`;
  }

  /** Nothing that is not a literal may follow `**`. */
  #glob(glob: string): string | Problem {
    if (this.#hasAnyPath) return { problem: 'Glob after text glob.' };
    if (glob === '*') return segment;
    this.#hasAnyPath = true;
    return anyPath;
  }
}

/** The path that a rewrite template makes: literal texts and numbers of the groups of `match`. */
export function parseRewriteTemplate(
  rewrite: string,
  match: UriTemplate,
): readonly (string | number)[] | 'invalid' | 'mismatch' {
  if (!rewrite.startsWith('/') || rewrite.includes('//')) return 'invalid';
  const parts: (string | number)[] = [];
  for (const piece of rewrite.split(/(\{[^}]*\})/)) {
    if (piece === '') continue;
    if (!piece.startsWith('{') || !piece.endsWith('}')) {
      if (/[{}]/.test(piece)) return 'invalid';
      parts.push(piece);
      continue;
    }
    const name = piece.slice(1, -1);
    if (name.includes('=')) return 'invalid';
    const index = match.variables.indexOf(name);
    if (index < 0) return 'mismatch';
    parts.push(index + 1);
  }
  return parts;
}

function escaped(literal: string): string {
  return literal.replace(/[.$()+*]/g, '\\$&');
}
