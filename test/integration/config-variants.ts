// Configurations with one mistake, made from accepted ones with a seed: what the differential test asks Envoy and us about.

import { readFileSync } from 'node:fs';
import { type Tree, TreeList, TreeMap } from '#config/tree.ts';
import { parseYaml } from '#config/yaml.ts';
import { messageNames } from '#schema/registry.ts';

export interface Variant {
  readonly name: string;
  readonly text: string;
}

/** A small generator of pseudo-random numbers, so that a seed names a run. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0 || 1;
  }

  /** An integer from 0 to n - 1. */
  below(n: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % n;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }
}

export function variant(file: string, label: string, random: Random): Variant {
  const text = readFileSync(file, 'utf8');
  return random.below(4) === 0 ? textVariant(text, label, random) : treeVariant(text, label, random);
}

/** A slip of the hand in the text. */
function textVariant(text: string, label: string, random: Random): Variant {
  const lines = text.split('\n');
  const used = lines.map((line, i) => (line.trim() === '' ? -1 : i)).filter((i) => i >= 0);
  const at = random.pick(used);
  const line = lines[at]!;
  const edits: readonly (readonly [string, () => void])[] = [
    ['less indentation', () => lines.splice(at, 1, line.replace(/^ {1,2}/, ''))],
    ['more indentation', () => lines.splice(at, 1, `  ${line}`)],
    ['a tab', () => lines.splice(at, 1, line.replace(/^ */, '\t'))],
    ['a line removed', () => lines.splice(at, 1)],
    ['a line twice', () => lines.splice(at, 0, line)],
    ['no colon', () => lines.splice(at, 1, line.replace(':', ''))],
    ['no space behind the colon', () => lines.splice(at, 1, line.replace(': ', ':'))],
    ['no dash', () => lines.splice(at, 1, line.replace('- ', '  '))],
    ['a dash', () => lines.splice(at, 1, line.replace(/^( *)(\S)/, '$1- $2'))],
    ['a comment', () => lines.splice(at, 1, line.replace(/^( *)/, '$1# '))],
    ['an open quote', () => lines.splice(at, 1, line.replace(/: (.)/, ': "$1'))],
    ['Windows line ends', () => lines.splice(0, lines.length, ...lines.map((it) => `${it}\r`))],
    ['a second document', () => lines.splice(at, 0, '---')],
    ['cut off', () => lines.splice(at, lines.length)],
  ];
  const [what, edit] = random.pick(edits);
  edit();
  return { name: `${label}: line ${at + 1}: ${what}`, text: lines.join('\n') };
}

interface Spot {
  readonly path: string;
  readonly parent: Record<string, unknown> | unknown[];
  readonly key: string | number;
  /** The maps around it, outermost first. */
  readonly around: readonly Record<string, unknown>[];
}

/** A mistake in the structure, printed as YAML in flow style. */
function treeVariant(text: string, label: string, random: Random): Variant {
  const root = plain(parseYaml(text).tree) as Record<string, unknown>;
  const spots: Spot[] = [];
  collect(root, '', spots, []);
  const spot = random.pick(spots);
  const what = mistake(spot, random);
  return { name: `${label}: ${spot.path}: ${what}`, text: `${JSON.stringify(root, undefined, 1)}\n` };
}

function mistake(spot: Spot, random: Random): string {
  const { parent, key } = spot;
  const holder = parent as Record<string | number, unknown>;
  const value = holder[key];
  const set = (what: string, to: unknown) => {
    holder[key] = to;
    return what;
  };
  if (typeof key === 'string' && random.below(3) === 0) return keyMistake(spot, key, random);
  if (key === '@type') {
    const name = random.pick(messageNames().filter((it) => it.startsWith('envoy.extensions.')));
    return random.below(2) === 0
      ? set(`another type ${name}`, `type.googleapis.com/${name}`)
      : set('a wrong type', `${value}x`);
  }
  if (Array.isArray(value)) {
    const choices: readonly (() => string)[] = [
      () => set('an empty list', []),
      () => set('the first element alone', value[0] ?? {}),
      () => set('an element twice', [...value, value[0]]),
      () => set('the other way round', value.toReversed()),
      () => set('a null element', [...value, null]),
      () => set('a list in the list', [value]),
      () => set('a text', 'x'),
    ];
    return random.pick(choices)();
  }
  if (typeof value === 'object' && value !== null) {
    return random.pick([
      () => set('an empty object', {}),
      () => set('null', null),
      () => set('a list of it', [value]),
      () => set('a text', 'x'),
      () => set('a number', 5),
    ])();
  }
  const scalars: readonly unknown[] = [
    null, true, 0, 1, -1, 70000, 1.5, 4294967296, '', 'x', 'nope', '5', '1.5', '1e3', '0.25s', '5ms', '10', '-3s', '0s', '/', 'a b', '(', '*', '%FOO%', '100%',
    '127.0.0.1', '::1', 'localhost', [], {}, ['x'], { x: 1 }, 'true', 'n', `${value}x`, String(value).toLowerCase(), String(value).slice(1), 'x'.repeat(300),
  ]; // biome-ignore format: a list
  const to = random.pick(scalars);
  return set(`${JSON.stringify(to)?.slice(0, 40)} instead of ${JSON.stringify(value)?.slice(0, 40)}`, to);
}

function keyMistake(spot: Spot, key: string, random: Random): string {
  const parent = spot.parent as Record<string, unknown>;
  const value = parent[key];
  const rename = (to: string) => {
    delete parent[key];
    parent[to] = value;
    return `key renamed to ${to}`;
  };
  switch (random.below(7)) {
    case 0:
      delete parent[key];
      return 'removed';
    case 1:
      return rename(`${key.slice(0, 2)}${key.slice(3)}`);
    case 2:
      return rename(key.replace(/_([a-z])/g, (_, c: string) => c.toUpperCase()));
    case 3:
      return rename(key.toUpperCase());
    case 4: {
      const outer = spot.around.at(-2);
      if (outer === undefined) return rename('foo');
      delete parent[key];
      outer[key] = value;
      return 'moved one level out';
    }
    case 5:
      delete parent[key];
      parent.extra = { [key]: value };
      return 'moved below "extra"';
    default:
      return rename(`${key}s`);
  }
}

function collect(
  value: unknown,
  path: string,
  spots: Spot[],
  around: readonly Record<string, unknown>[],
): void {
  if (typeof value !== 'object' || value === null) return;
  const inside = Array.isArray(value) ? around : [...around, value as Record<string, unknown>];
  for (const key of Object.keys(value)) {
    const step = Array.isArray(value) ? `${path}[${key}]` : `${path}.${key}`;
    spots.push({
      path: step,
      parent: value as Record<string, unknown>,
      key: Array.isArray(value) ? Number(key) : key,
      around: inside,
    });
    collect((value as Record<string, unknown>)[key], step, spots, inside);
  }
}

function plain(tree: Tree): unknown {
  if (tree instanceof TreeList) return tree.items.map(plain);
  if (tree instanceof TreeMap)
    return Object.fromEntries(tree.keys.map((key, i) => [key, plain(tree.values[i]!)]));
  return tree;
}
