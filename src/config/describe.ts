// Values in words.

import { type Tree, TreeList, TreeMap } from './tree.ts';

/** A value in words, for "got ...". */
export function describe(tree: Tree): string {
  if (tree === null) return 'nothing';
  if (tree instanceof TreeMap) return 'an object';
  if (tree instanceof TreeList) return 'a list';
  if (tree instanceof Uint8Array) return 'bytes';
  if (typeof tree === 'string') return JSON.stringify(tree.length > 60 ? `${tree.slice(0, 57)}...` : tree);
  if (typeof tree === 'boolean') return `the boolean ${tree}`;
  return `the number ${tree}`;
}

/** A value for machine-readable output: scalars as they are, containers by what they are. */
export function plain(tree: Tree): unknown {
  if (tree instanceof TreeMap) return '{...}';
  if (tree instanceof TreeList) return '[...]';
  return tree;
}
