// A JavaScript value as a tree: what a TypeScript configuration exports, and the JSON inside a TypedStruct.

import type { Duration } from '#schema/values.ts';
import { maxDepth, SyntaxProblem, type Tree, TreeList, TreeMap } from './tree.ts';

/** Throws a `SyntaxProblem` for functions, symbols and values that contain themselves. */
export function treeOf(value: unknown, depth = 0): Tree {
  if (depth > maxDepth)
    throw new SyntaxProblem(`more than ${maxDepth} levels deep, or an object that contains itself`, 0);
  if (value === null || value === undefined) return null;
  switch (typeof value) {
    case 'string':
    case 'boolean':
    case 'number':
    case 'bigint':
      return value;
    case 'object':
      break;
    default:
      throw new SyntaxProblem(`a ${typeof value} is not configuration`, 0);
  }
  if (value instanceof Uint8Array) return value;
  if (Array.isArray(value)) {
    const list = new TreeList(-1);
    for (const item of value) {
      list.items.push(treeOf(item, depth + 1));
      list.itemAt.push(-1);
    }
    return list;
  }
  if (isSeconds(value)) {
    const map = new TreeMap(-1);
    add(map, 'seconds', value.seconds);
    add(map, 'nanos', value.nanos);
    return map;
  }
  const map = new TreeMap(-1);
  for (const [key, item] of Object.entries(value))
    if (item !== undefined) add(map, key, treeOf(item, depth + 1));
  return map;
}

function add(map: TreeMap, key: string, value: Tree): void {
  map.keys.push(key);
  map.values.push(value);
  map.keyAt.push(-1);
  map.valueAt.push(-1);
}

function isSeconds(value: object): value is Duration {
  const keys = Object.keys(value);
  return keys.length === 2 && keys[0] === 'seconds' && keys[1] === 'nanos';
}
