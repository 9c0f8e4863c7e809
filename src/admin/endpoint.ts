// One page of the admin interface: what its owner registers. Low traffic, main thread: handlers may wait.

export interface AdminRequest {
  readonly method: string;
  /** The path without the query, `/stats`. */
  readonly path: string;
  readonly query: AdminQuery;
  /** What the body says, when it is a form and there is no query: for pages that take both. */
  readonly formOrQuery: AdminQuery;
}

export interface AdminResponse {
  /** Default 200. */
  readonly status?: number;
  /** Default `text/plain; charset=UTF-8`. */
  readonly contentType?: string;
  readonly body: string;
  /** Called when the response has been handed to the socket. */
  readonly afterSent?: () => void;
}

export interface AdminParameter {
  readonly name: string;
  readonly help: string;
  /** The values to choose from; without them any text. */
  readonly choices?: readonly string[];
  /** Given without a value. */
  readonly isFlag?: boolean;
}

export const contentTypes = {
  text: 'text/plain; charset=UTF-8',
  html: 'text/html; charset=UTF-8',
  json: 'application/json',
  /** What some messages of /config_dump have. */
  bareText: 'text/plain',
} as const;

export const ok: AdminResponse = { body: 'OK\n' };

export interface AdminEndpoint {
  /** Starts with a slash. Requests match it exactly. */
  readonly path: string;
  /** One line of /help. */
  readonly help: string;
  /** Changes something: only POST is answered. */
  readonly mutates: boolean;
  readonly parameters?: readonly AdminParameter[];
  handle(request: AdminRequest): AdminResponse | Promise<AdminResponse>;
}

/** The query parameters, decoded, in order. Of several with one name the first counts, as in Envoy. */
export class AdminQuery {
  readonly entries: readonly (readonly [name: string, value: string])[];

  constructor(entries: readonly (readonly [string, string])[]) {
    this.entries = entries;
  }

  has(name: string): boolean {
    return this.entries.some(([it]) => it === name);
  }

  /** Undefined when absent; empty when it has no value. */
  get(name: string): string | undefined {
    return this.entries.find(([it]) => it === name)?.[1];
  }

  /** Undefined when absent or empty. */
  value(name: string): string | undefined {
    return this.get(name) || undefined;
  }
}

/** `a=1&b` of a URL or of a form. Percent escapes are decoded, a plus stays a plus. */
export function parseQuery(text: string): AdminQuery {
  const entries: [string, string][] = [];
  for (const part of text.split('&')) {
    if (part === '') continue;
    const equals = part.indexOf('=');
    if (equals < 0) entries.push([percentDecode(part), '']);
    else entries.push([percentDecode(part.slice(0, equals)), percentDecode(part.slice(equals + 1))]);
  }
  return new AdminQuery(entries);
}

function percentDecode(text: string): string {
  if (!text.includes('%')) return text;
  const bytes: number[] = [];
  for (let i = 0; i < text.length; i++) {
    const hex = text[i] === '%' ? text.slice(i + 1, i + 3) : '';
    if (/^[0-9a-fA-F]{2}$/.test(hex)) {
      bytes.push(Number.parseInt(hex, 16));
      i += 2;
    } else bytes.push(...Buffer.from(text[i]!));
  }
  return Buffer.from(bytes).toString();
}
