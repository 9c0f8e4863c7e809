// The table of endpoints and what is common to them: methods, help, unknown and forbidden paths. Knows no sockets.
import { canonicalPath, mergeSlashes } from '#http/path.ts';
import {
  type AdminEndpoint,
  type AdminRequest,
  type AdminResponse,
  contentTypes,
  parseQuery,
} from './endpoint.ts';
import { homePage } from './home-page.ts';

export interface AdminOptions {
  /** `admin.allow_paths`: whether a path with its query may be asked for. Default: all. */
  readonly allows?: (pathAndQuery: string) => boolean;
}

export class Admin {
  readonly #endpoints = new Map<string, AdminEndpoint>();
  readonly #allows: (pathAndQuery: string) => boolean;

  constructor({ allows = () => true }: AdminOptions = {}) {
    this.#allows = allows;
    this.register(
      {
        path: '/',
        help: 'Admin home page',
        mutates: false,
        handle: () => ({ contentType: contentTypes.html, body: homePage(this.endpoints()) }),
      },
      {
        path: '/help',
        help: 'print out list of admin commands',
        mutates: false,
        handle: () => ({ body: `admin commands are:\n${this.help()}` }),
      },
    );
  }

  register(...endpoints: readonly AdminEndpoint[]): void {
    for (const endpoint of endpoints) this.#endpoints.set(endpoint.path, endpoint);
  }

  /** In the order of their paths. */
  endpoints(): readonly AdminEndpoint[] {
    return [...this.#endpoints.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
  }

  help(): string {
    let text = '';
    for (const { path, mutates, help, parameters = [] } of this.endpoints()) {
      text += `  ${path}${mutates ? ' (POST)' : ''}: ${help}\n`;
      for (const { name, help, choices } of parameters) {
        text += `      ${name}: ${help}${choices === undefined ? '' : `; One of (${choices.join(', ')})`}\n`;
      }
    }
    return text;
  }

  /** `target` as on the request line: a path with a query. */
  async handle(method: string, target: string, contentType: string, body: Buffer): Promise<AdminResponse> {
    const pathAndQuery = normalized(target);
    if (!this.#allows(pathAndQuery)) {
      return { status: 403, body: `request to path ${pathAndQuery} not allowed` };
    }
    const mark = pathAndQuery.indexOf('?');
    const path = mark < 0 ? pathAndQuery : pathAndQuery.slice(0, mark);
    const endpoint = this.#endpoints.get(path);
    if (endpoint === undefined) {
      return { status: 404, body: `invalid path. admin commands are:\n${this.help()}` };
    }
    if (endpoint.mutates && method !== 'POST') {
      return { status: 405, body: `Method ${method} not allowed, POST required.` };
    }
    const isForm = contentType === 'application/x-www-form-urlencoded';
    const query = parseQuery(mark < 0 ? '' : pathAndQuery.slice(mark + 1));
    const formOrQuery = isForm && query.entries.length === 0 ? parseQuery(body.toString()) : query;
    const request: AdminRequest = { method, path, query, formOrQuery };
    return await endpoint.handle(request);
  }
}

/** As any listener of Envoy would normalize a path. */
function normalized(target: string): string {
  return mergeSlashes(canonicalPath(target) ?? target);
}
