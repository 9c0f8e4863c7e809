// Seeded random texts through the reader of configurations: the YAML reader agrees with the `yaml` package where both follow the same
// edition, and no text makes the whole fail or point outside itself. CHANCERY_SEED repeats a run.

import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { stringify } from 'yaml';
import { formatProblems } from '#config/format-problems.ts';
import { validateFiles } from '#config/load.ts';
import { SyntaxProblem, type Tree, TreeList, TreeMap } from '#config/tree.ts';
import { parseYaml } from '#config/yaml.ts';
import { Random } from './integration/config-variants.ts';

const seed = Number(process.env.CHANCERY_SEED ?? 1);

test('reads what the yaml package writes', (t) => {
  t.diagnostic(`seed ${seed}`);
  const random = new Random(seed);
  for (let i = 0; i < 400; i++) {
    const value = { root: randomValue(random, 0) };
    const text = stringify(value, {
      indent: 1 + random.below(4),
      indentSeq: random.below(2) === 0,
      collectionStyle: random.pick(['any', 'block', 'flow'] as const),
      // Folding at other widths loses letters, and so does indenting a text that starts with blanks: mistakes of that package.
      lineWidth: 0,
      defaultStringType: random.pick([
        'PLAIN',
        'QUOTE_DOUBLE',
        'QUOTE_SINGLE',
        'BLOCK_LITERAL',
        'BLOCK_FOLDED',
      ] as const),
      defaultKeyType: random.pick(['PLAIN', 'QUOTE_DOUBLE'] as const),
      // Words that only YAML 1.1 takes for booleans get quotes.
      version: '1.1',
    });
    assert.deepEqual(plain(parseYaml(text).tree), value, `seed ${seed}, text ${i}:\n${text}`);
  }
});

test('survives every text, and points into it', { timeout: 60_000 }, async (t) => {
  t.diagnostic(`seed ${seed}`);
  const random = new Random(seed + 1);
  const texts = globSync('{golden,integration/configs}/**/*.yaml', { cwd: import.meta.dirname })
    .sort()
    .map((it) => readFileSync(join(import.meta.dirname, it), 'utf8'));
  for (let i = 0; i < 300; i++) {
    const text = mutate(random.pick(texts), random);
    try {
      const { problems, sources } = await validateFiles(['-'], { stdin: Buffer.from(text) });
      const lines = text.split('\n').length;
      for (const it of problems)
        assert.ok(it.line === undefined || (it.line >= 1 && it.line <= lines), `line ${it.line} of ${lines}`);
      for (const format of ['text', 'json', 'sarif', 'github'] as const)
        formatProblems(problems, sources, format);
    } catch (error) {
      throw new Error(`seed ${seed}, text ${i}:\n${text}`, { cause: error });
    }
  }
});

test('reads any characters as YAML or says why not', () => {
  const random = new Random(seed + 2);
  const alphabet = [
    'a',
    'b',
    ' ',
    '  ',
    '\n',
    '\n  ',
    ':',
    ': ',
    '- ',
    '-',
    '?',
    '? ',
    '[',
    ']',
    '{',
    '}',
    ',',
    '"',
    "'",
    '#',
    ' #',
    '&a ',
    '*a',
    '!t ',
    '|',
    '>',
    '%',
    '\t',
    '---',
    '...',
    '\\',
    '\r\n',
    '0',
    'é',
    '😀',
  ];
  for (let i = 0; i < 5000; i++) {
    let text = '';
    for (let length = random.below(24); length >= 0; length--) text += random.pick(alphabet);
    try {
      parseYaml(text);
    } catch (error) {
      assert.ok(error instanceof SyntaxProblem, `seed ${seed}: ${JSON.stringify(text)}: ${error}`);
      assert.ok(error.at >= 0 && error.at <= text.length, `${JSON.stringify(text)}: ${error.at}`);
    }
  }
});

function mutate(text: string, random: Random): string {
  const at = random.below(text.length);
  const length = random.below(20);
  switch (random.below(5)) {
    case 0:
      return text.slice(0, at);
    case 1:
      return text.slice(0, at) + text.slice(at + length);
    case 2:
      return (
        text.slice(0, at) + String.fromCharCode(random.below(random.pick([128, 65536]))) + text.slice(at)
      );
    case 3:
      return text.slice(0, at) + text.slice(at, at + length).repeat(5) + text.slice(at);
    default:
      return (
        text.slice(0, at) +
        random.pick([': ', '- ', '{', ']', '"', '\n', '\t', '&a ', '*a', '|\n', '%']) +
        text.slice(at)
      );
  }
}

const words = ['', 'a', 'b c', 'no', 'n', 'true', 'null', '~', '5', '0x1F', '1.5', ': ', 'a: b', '- a', '#', 'a #b', 'x\ny', 'trailing ', 'tab\tin', '"', "'", '\\', '{', '[a]', '&a', '*a', '!a', '%', '@', '`', 'é', '😀', 'line one\nline two\n\nline four', 'a very long text with many words that has to be folded somewhere', '---', '...', '?', '? a', '<<', '=']; // biome-ignore format: a list

function randomValue(random: Random, depth: number): unknown {
  const kind = random.below(depth > 4 ? 4 : 8);
  if (kind < 3) return random.pick(words);
  if (kind === 3) return random.pick([null, true, false, 0, 5, -7, 65535]);
  if (kind < 6) return Array.from({ length: random.below(4) }, () => randomValue(random, depth + 1));
  const object: Record<string, unknown> = {};
  for (let i = random.below(4); i > 0; i--)
    object[random.pick(words.filter((it) => !/\n/.test(it) && it !== 'null' && it !== '~'))] = randomValue(
      random,
      depth + 1,
    );
  return object;
}

function plain(tree: Tree): unknown {
  if (tree instanceof TreeList) return tree.items.map(plain);
  if (tree instanceof TreeMap)
    return Object.fromEntries(tree.keys.map((key, i) => [key, plain(tree.values[i]!)]));
  return tree;
}
