// Path -> file, line and column, for problems that were found: walks the trees of the sources along the path. Runs only when there
// is something to print.

import type { ConfigError } from './config-error.ts';
import { type Tree, TreeList, TreeMap } from './tree.ts';

/** One text that configuration was read from. */
export interface Source {
  /** As the user named it: `envoy.yaml`, `-`, `--config-yaml`. */
  readonly file: string;
  /** Empty for binary. */
  readonly text: string;
  readonly tree: Tree;
  /** Offset of the root value. */
  readonly start: number;
}

export interface Position {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** Fills `file`, `line` and `column`. Several sources were merged in this order: lists were joined, later values won. */
export function locate(problems: readonly ConfigError[], sources: readonly Source[]): void {
  for (const problem of problems) {
    if (problem.line !== undefined) continue;
    const found = find(steps(problem.path), sources, problem.point);
    if (found === undefined) continue;
    const { line, column } = lineAndColumn(found.source.text, found.at);
    problem.file = found.source.file;
    problem.line = line;
    problem.column = column;
  }
}

interface Place {
  readonly source: Source;
  readonly tree: Tree;
  readonly at: number;
  readonly keyAt: number;
}

/** `a.b[2]["x.y"]` -> a, b, 2, x.y */
export function steps(path: string): (string | number)[] {
  const found: (string | number)[] = [];
  for (const match of path.matchAll(/\[(\d+)\]|\[("(?:[^"\\]|\\.)*")\]|([^.[\]]+)/g)) {
    if (match[1] !== undefined) found.push(Number(match[1]));
    else found.push(match[2] !== undefined ? (JSON.parse(match[2]) as string) : match[3]!);
  }
  return found;
}

function find(path: readonly (string | number)[], sources: readonly Source[], point: 'key' | 'value') {
  let places: Place[] = sources
    .filter((it) => it.start >= 0)
    .map((source) => ({ source, tree: source.tree, at: source.start, keyAt: source.start }));
  let last: Place | undefined = places[0];
  let isWhole = true;
  for (const step of path) {
    const next = typeof step === 'number' ? element(places, step) : entries(places, step);
    if (next.length === 0) {
      isWhole = false;
      break;
    }
    places = next;
    last = places.at(-1);
  }
  if (last === undefined) return undefined;
  // Something that is missing is shown at the key of what it is missing in.
  const useKey =
    point === 'key' || (!isWhole && typeof path.at(-1) === 'string' && !(last.tree instanceof TreeMap));
  const at = (useKey && isWhole) || (!isWhole && last.keyAt >= 0) ? last.keyAt : last.at;
  return { source: last.source, at };
}

function entries(places: readonly Place[], key: string): Place[] {
  const found: Place[] = [];
  for (const place of places) {
    const { tree } = place;
    if (!(tree instanceof TreeMap)) continue;
    let index = tree.keys.lastIndexOf(key);
    if (index < 0)
      index = tree.keys.lastIndexOf(key.replace(/_([a-z0-9])/g, (_, c: string) => c.toUpperCase()));
    if (index < 0) continue;
    found.push({
      source: place.source,
      tree: tree.values[index]!,
      at: tree.valueAt[index]!,
      keyAt: tree.keyAt[index]!,
    });
  }
  return found;
}

/** The sources' lists follow each other; a single value counts as a list of one. Lists inside lists are flattened by protobuf. */
function element(places: readonly Place[], index: number): Place[] {
  let rest = index;
  for (const place of places) {
    const { tree, source } = place;
    if (!(tree instanceof TreeList)) {
      if (rest === 0) return [place];
      rest--;
      continue;
    }
    if (rest < tree.items.length) {
      const at = tree.itemAt[rest]!;
      return [{ source, tree: tree.items[rest]!, at, keyAt: at }];
    }
    rest -= tree.items.length;
  }
  return [];
}

/** 1-based, columns in characters as an editor counts them. */
export function lineAndColumn(text: string, offset: number): { line: number; column: number } {
  const starts = lineStarts(text);
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (starts[middle]! <= offset) low = middle;
    else high = middle - 1;
  }
  return { line: low + 1, column: Math.max(1, offset - starts[low]! + 1) };
}

/** The text of a line without its end. */
export function lineText(text: string, line: number): string {
  const starts = lineStarts(text);
  const start = starts[line - 1];
  if (start === undefined) return '';
  const end = starts[line];
  return text.slice(start, end === undefined ? undefined : end - 1).replace(/\r$/, '');
}

/** The last text that was asked about, and where its lines begin. */
let indexed = '';
let index: readonly number[] = [0];

function lineStarts(text: string): readonly number[] {
  if (text === indexed) return index;
  // A byte order mark is no column.
  const starts = [text.charCodeAt(0) === 0xfeff ? 1 : 0];
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) starts.push(at + 1);
  indexed = text;
  index = starts;
  return starts;
}
