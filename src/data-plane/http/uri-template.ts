// URI templates of `envoy.path.match.uri_template` and `envoy.path.rewrite.uri_template`, turned into regular expressions:
// `/media/{country}/{lang=*}/{rest=**}`. A variable is a group, in the order in which they appear.

/** What a segment may consist of (RFC 3986 pchar without the slash). */
const segment = "[a-zA-Z0-9\\-._~%!$&'()+,;:@=]+";
const anyPath = "[a-zA-Z0-9\\-._~%!$&'()+,;:@=/]*";

export interface UriTemplate {
  readonly regex: string;
  /** Text before the first operator. */
  readonly literal: string;
  readonly variables: readonly string[];
}

export interface Problem {
  readonly problem: string;
}

const variableName = /^[a-zA-Z][a-zA-Z0-9_]{0,15}$/;

export function parseUriTemplate(template: string): UriTemplate | Problem {
  if (!template.startsWith('/')) return { problem: `${template}: a path template must begin with "/"` };
  const variables: string[] = [];
  let regex = '';
  let sawAnyPath = false;
  const operator = (text: string): string | undefined => {
    if (sawAnyPath) return undefined;
    if (text === '**') {
      sawAnyPath = true;
      return anyPath;
    }
    return text === '*' ? segment : undefined;
  };
  const parts = template.slice(1).split(/\/(?![^{]*\})/);
  for (const [i, part] of parts.entries()) {
    regex += '/';
    const variable = /^\{([^=}]*)(?:=([^}]*))?\}(.*)$/.exec(part);
    if (variable) {
      const [, name = '', pattern = '*', suffix = ''] = variable;
      if (!variableName.test(name)) return { problem: `Invalid variable name: "${name}"` };
      if (variables.includes(name)) return { problem: `Repeated variable name: "${name}"` };
      variables.push(name);
      const inner: string[] = [];
      for (const piece of pattern.split('/')) {
        const found = piece.startsWith('*') ? operator(piece) : literal(piece);
        if (found === undefined) return { problem: `Invalid variable pattern: "${pattern}"` };
        inner.push(found);
      }
      const after = literal(suffix);
      if (after === undefined) return { problem: `Invalid path template: ${template}` };
      regex += `(${inner.join('/')})${after}`;
    } else if (part.startsWith('*')) {
      const stars = /^\*+/.exec(part)![0];
      const found = operator(stars);
      const after = literal(part.slice(stars.length));
      if (found === undefined || after === undefined)
        return { problem: `Invalid path template: ${template}` };
      regex += found + after;
    } else {
      const found = literal(part);
      if (found === undefined || (sawAnyPath && part !== ''))
        return { problem: `Invalid path template: ${template}` };
      if (part === '' && i < parts.length - 1) return { problem: `Invalid path template: ${template}` };
      regex += found;
    }
  }
  return { regex, literal: /^[^{*]*/.exec(template)![0], variables };
}

/** The path that a rewrite template makes: literal texts and numbers of the groups of `match`. */
export function parseRewriteTemplate(rewrite: string, match: UriTemplate): (string | number)[] | Problem {
  if (!rewrite.startsWith('/')) return { problem: `${rewrite}: a path template must begin with "/"` };
  const parts: (string | number)[] = [];
  for (const piece of rewrite.split(/(\{[^}]*\})/)) {
    if (piece === '') continue;
    if (!piece.startsWith('{')) {
      if (/[{}*]/.test(piece)) return { problem: `Invalid rewrite template: ${rewrite}` };
      parts.push(piece);
      continue;
    }
    const index = match.variables.indexOf(piece.slice(1, -1));
    if (index < 0) return { problem: `Nonexisting variable name ${piece.slice(1, -1)} in the path template` };
    parts.push(index + 1);
  }
  return parts;
}

function literal(text: string): string | undefined {
  if (!/^[a-zA-Z0-9\-._~%!$&'()+,;:@=]*$/.test(text)) return undefined;
  return text.replace(/[.$()+]/g, '\\$&');
}
