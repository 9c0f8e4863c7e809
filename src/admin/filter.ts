// The parameter `filter` of several pages: a regular expression looked for in a name.
import { regexProblem } from '#base/regex.ts';
import { compileSearch } from '#base/regex-search.ts';
import type { AdminQuery, AdminResponse } from './endpoint.ts';

export type NameFilter = (name: string) => boolean;

/** Or the answer to a wrong expression; not every page of Envoy says what is wrong with it. */
export function nameFilter(query: AdminQuery, saysWhy = true): NameFilter | AdminResponse {
  const pattern = query.value('filter');
  if (pattern === undefined) return () => true;
  const problem = regexProblem(pattern);
  if (problem !== undefined)
    return { status: 400, body: `Invalid re2 regex${saysWhy ? `: ${problem}` : ''}` };
  return compileSearch(pattern);
}
