// Which routes can match a path, without looking at all of them: a radix tree over the literal beginnings of paths. A lookup walks
// the characters of the path once, visits the routes on its way and keeps the first that matches in the order of the
// configuration.
//
//   root ── "/api/" ── "users" (prefix 3)
//                └──── "v"     (regex 1: /api/v[0-9]+/.*) ── "2" (path 7)
import type { HeaderMap } from '#http/header-map.ts';
import type { RouteContext } from './route-entry.ts';

/** A route as a candidate: its place in the order, and the conditions that the tree has not settled. */
export interface Candidate {
  readonly order: number;
  /** `path` up to `end` is what is matched: without query and fragment and, if so configured, without parameters. */
  matches(headers: HeaderMap, path: string, end: number, context: RouteContext): boolean;
}

class Node {
  label: string;
  /** Routes whose literal ends here and which take any rest; in order. */
  anyRest: Candidate[] = [];
  /** ... which take no rest: exact paths. */
  noRest: Candidate[] = [];
  /** ... which take none or one that begins with `/`. */
  slashRest: Candidate[] = [];
  /** Lowest order in this node and all below it: nothing earlier is to be found there. */
  first = Number.POSITIVE_INFINITY;
  children: Map<number, Node> | undefined = undefined;

  constructor(label: string) {
    this.label = label;
  }
}

export const Rest = { Any: 0, None: 1, Slash: 2 } as const;
export type Rest = (typeof Rest)[keyof typeof Rest];

const upperA = 65;
const upperZ = 90;
const caseBit = 32;
const slash = 47;

export class PathIndex {
  readonly #root = new Node('');
  readonly #ignoresCase: boolean;

  /** With `ignoresCase` the literals are in lower case and ASCII letters of paths are folded. */
  constructor(ignoresCase: boolean) {
    this.#ignoresCase = ignoresCase;
  }

  get isEmpty(): boolean {
    return this.#root.first === Number.POSITIVE_INFINITY;
  }

  /** Candidates are added in their order. */
  add(literal: string, rest: Rest, candidate: Candidate): void {
    let node = this.#root;
    let at = 0;
    for (;;) {
      if (candidate.order < node.first) node.first = candidate.order;
      if (at === literal.length) break;
      const code = literal.charCodeAt(at);
      const child = node.children?.get(code);
      if (child === undefined) {
        const leaf = new Node(literal.slice(at));
        leaf.first = candidate.order;
        node.children ??= new Map();
        node.children.set(code, leaf);
        node = leaf;
        break;
      }
      let same = 1;
      while (
        same < child.label.length &&
        at + same < literal.length &&
        child.label.charCodeAt(same) === literal.charCodeAt(at + same)
      )
        same++;
      if (same < child.label.length) {
        const upper = new Node(child.label.slice(0, same));
        upper.first = child.first;
        child.label = child.label.slice(same);
        upper.children = new Map([[child.label.charCodeAt(0), child]]);
        node.children!.set(code, upper);
        node = upper;
      } else {
        node = child;
      }
      at += same;
    }
    const list = rest === Rest.Any ? node.anyRest : rest === Rest.None ? node.noRest : node.slashRest;
    list.push(candidate);
  }

  /** The lowest order below `limit` that matches, or `limit`. */
  find(headers: HeaderMap, path: string, end: number, context: RouteContext, limit: number): number {
    const ignoresCase = this.#ignoresCase;
    let best = limit;
    let at = 0;
    let node = this.#root;
    for (;;) {
      if (node.anyRest.length > 0) best = firstMatch(node.anyRest, headers, path, end, context, best);
      if (at === end) {
        if (node.noRest.length > 0) best = firstMatch(node.noRest, headers, path, end, context, best);
        if (node.slashRest.length > 0) best = firstMatch(node.slashRest, headers, path, end, context, best);
        return best;
      }
      let code = path.charCodeAt(at);
      if (code === slash && node.slashRest.length > 0)
        best = firstMatch(node.slashRest, headers, path, end, context, best);
      if (ignoresCase && code >= upperA && code <= upperZ) code |= caseBit;
      const child = node.children?.get(code);
      if (child === undefined || child.first >= best) return best;
      const label = child.label;
      if (at + label.length > end) return best;
      for (let i = 1; i < label.length; i++) {
        let next = path.charCodeAt(at + i);
        if (ignoresCase && next >= upperA && next <= upperZ) next |= caseBit;
        if (next !== label.charCodeAt(i)) return best;
      }
      at += label.length;
      node = child;
    }
  }
}

function firstMatch(
  list: readonly Candidate[],
  headers: HeaderMap,
  path: string,
  end: number,
  context: RouteContext,
  limit: number,
): number {
  for (let i = 0; i < list.length; i++) {
    const candidate = list[i]!;
    if (candidate.order >= limit) return limit;
    if (candidate.matches(headers, path, end, context)) return candidate.order;
  }
  return limit;
}
