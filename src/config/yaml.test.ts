import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SyntaxProblem, type Tree, TreeList, TreeMap } from './tree.ts';
import { parseYaml } from './yaml.ts';

/** A tree as JSON, for comparing. */
function json(tree: Tree): unknown {
  if (tree instanceof TreeList) return tree.items.map(json);
  if (tree instanceof TreeMap)
    return Object.fromEntries(tree.keys.map((key, i) => [key, json(tree.values[i]!)]));
  return tree;
}

// Measured on Envoy 1.40: what becomes of `k: <text>` in a google.protobuf.Struct.
const scalars: readonly (readonly [string, unknown])[] = [
  ['n', false],
  ['"n"', 'n'],
  ['y', true],
  ['Yes', true],
  ['YES', true],
  ['yEs', 'yEs'],
  ['ON', true],
  ['off', false],
  ['True', true],
  ['tRue', 'tRue'],
  ['~', null],
  ['null', null],
  ['NULL', null],
  ['nULL', 'nULL'],
  ['', null],
  ['""', ''],
  ['5', 5],
  ['+5', 5],
  ['-5', -5],
  ['05', 5],
  ['017', 15],
  ['-017', -15],
  ['08', '08'],
  ['0o17', '0o17'],
  ['0x1F', 31],
  ['-0x1F', -31],
  ['0b11', '0b11'],
  ['1_000', '1_000'],
  ['1e3', '1e3'],
  ['1.0', '1.0'],
  ['1.', '1.'],
  ['.inf', '.inf'],
  ['2147483647', 2147483647],
  ['2147483648', '2147483648'],
  ['-2147483649', '-2147483649'],
  ['9223372036854775807', '9223372036854775807'],
  ['9223372036854775808', '9223372036854775808'],
  ['0x7FFFFFFFFFFFFFFF', '9223372036854775807'],
  ['0xFFFFFFFFFFFFFFFF', '0xFFFFFFFFFFFFFFFF'],
  ['-0', 0],
  ['12 34', '12 34'],
  ['!!str 5', 5],
  ['!foo 5', 5],
  ['! 5', '5'],
  ['!!bool "n"', false],
  ['2001-01-01', '2001-01-01'],
  ['1:30', '1:30'],
  ['<<', '<<'],
  ['"\\x41\\u00e9\\n"', 'Aé\n'],
  ['"\\/"', '/'],
  ["'it''s'", "it's"],
  ['a#b', 'a#b'],
  ['a #b', 'a'],
  ['{a: 1, b: }', { a: 1, b: null }],
  ['[a, [b], c: d]', ['a', ['b'], { c: 'd' }]],
];

for (const [text, value] of scalars) {
  test(`reads ${JSON.stringify(text)} as Envoy does`, () => {
    assert.deepEqual(json(parseYaml(`k: ${text}\n`).tree), { k: value });
  });
}

const documents: readonly { name: string; text: string; value: unknown }[] = [
  {
    name: 'lists at the indentation of their key',
    text: 'a:\n- b: 1\n  c: 2\n- d\ne: 3',
    value: { a: [{ b: 1, c: 2 }, 'd'], e: 3 },
  },
  { name: 'lists in lists', text: '- - a\n  - b\n-\n  - c', value: [['a', 'b'], ['c']] },
  {
    name: 'a scalar over several lines',
    text: 'a: one\n  two\n\n  three\nb: c',
    value: { a: 'one two\nthree', b: 'c' },
  },
  {
    name: 'a scalar that starts below its key',
    text: 'a:\n  one\n  two\nb: c',
    value: { a: 'one two', b: 'c' },
  },
  { name: 'a last word as a key without a value', text: 'a: b\nc\n', value: { a: 'b', c: null } },
  {
    name: 'a quoted scalar over several lines',
    text: 'a: "one\n  two\\\n  three\n\n  four"',
    value: { a: 'one twothree\nfour' },
  },
  {
    name: 'a literal block',
    text: 'a: |\n  one\n   two\n\n  three\nb: c',
    value: { a: 'one\n two\n\nthree\n', b: 'c' },
  },
  {
    name: 'a folded block',
    text: 'a: >-\n  one\n  two\n\n  three\n\nb: c',
    value: { a: 'one two\nthree', b: 'c' },
  },
  { name: 'kept line ends', text: 'a: |+\n  one\n\nb: c', value: { a: 'one\n\n', b: 'c' } },
  { name: 'a given indentation', text: 'a: |2\n   one\n  two\n', value: { a: ' one\ntwo\n' } },
  {
    name: 'comments between the lines',
    text: '# x\na: # y\n  b: 1 # z\n# w\n  c: 2',
    value: { a: { b: 1, c: 2 } },
  },
  { name: 'anchors', text: 'a: &x {b: 1}\nc: *x', value: { a: { b: 1 }, c: { b: 1 } } },
  {
    name: 'merge keys as ordinary keys',
    text: 'a: &x {b: 1}\nc:\n  <<: *x',
    value: { a: { b: 1 }, c: { '<<': { b: 1 } } },
  },
  { name: 'explicit keys', text: '? a\n: b\n? c', value: { a: 'b', c: null } },
  { name: 'the last of two equal keys', text: 'a: 1\nb: 2\na: 3', value: { b: 2, a: 3 } },
  { name: 'Windows line ends', text: 'a:\r\n- b\r\n- c\r\n', value: { a: ['b', 'c'] } },
  {
    name: 'flow maps over several lines',
    text: 'a: {\n  b: 1,\n  "c":2,\n}\n',
    value: { a: { b: 1, c: 2 } },
  },
  { name: 'a directive and a document mark', text: '%YAML 1.2\n---\na: 1\n...\n', value: { a: 1 } },
  { name: 'a byte order mark', text: '\ufeffa: 1', value: { a: 1 } },
  { name: 'colons and dashes inside a word', text: 'a: b:c\nd: -e\nf: g-h:', value: undefined },
];

for (const { name, text, value } of documents) {
  if (value === undefined) continue;
  test(`reads ${name}`, () => assert.deepEqual(json(parseYaml(text).tree), value));
}

const refused = [
  { name: 'a tab as indentation', text: 'a:\n\tb: 1', at: 5, problem: 'illegal map value' },
  { name: 'a list behind its key', text: 'a: - b', at: 3, problem: 'illegal block entry' },
  { name: 'two colons', text: 'a: b: c', at: 4, problem: 'illegal map value' },
  { name: 'an unknown alias', text: 'a: *b', at: 3, problem: 'the referenced anchor is not defined: b' },
  { name: 'an open quote', text: 'a: "b', at: 3, problem: 'illegal EOF in scalar' },
  { name: 'an open list', text: 'a: [b, c', at: 8, problem: 'end of sequence flow not found' },
  {
    name: 'an anchor that contains itself',
    text: 'a: &x [*x]',
    at: 7,
    problem: 'the alias *x stands inside its own anchor',
  },
  { name: 'an unknown escape', text: 'a: "\\q"', at: 5, problem: 'unknown escape character: q' },
  { name: 'a reserved character', text: 'a: @b', at: 3, problem: 'unknown token' },
  { name: 'a key without a value', text: 'a: 1\nb\nc: 2', at: 8, problem: 'illegal map value' },
];

for (const { name, text, at, problem } of refused) {
  test(`refuses ${name}`, () => {
    assert.throws(
      () => parseYaml(text),
      (error) => error instanceof SyntaxProblem && error.message === problem && error.at === at,
    );
  });
}

test('notices what stands behind the first document', () => {
  assert.equal(parseYaml('a: 1\n---\nb: 2').ignoredFrom, 5);
  assert.equal(parseYaml('a: 1\n---\nb: 2').ignoresDocument, true);
  assert.equal(parseYaml('  a: 1\nb: 2').ignoredFrom, 7);
  assert.equal(parseYaml('a: 1\n').ignoredFrom, undefined);
});

test('takes the end of the file for a missing quote where yaml-cpp does', () => {
  const document = parseYaml('a: "b\n  c\n');
  assert.deepEqual(json(document.tree), { a: 'b c ' });
  assert.equal(document.openQuoteAt, 3);
});

test('stops at nesting and aliases that would never end', () => {
  assert.throws(() => parseYaml('['.repeat(100_000)), /more than 500 levels deep/);
  const laughs = ['a0: &a0 [x, x, x, x, x, x, x, x, x, x]'];
  for (let i = 1; i < 12; i++) laughs.push(`a${i}: &a${i} [${`*a${i - 1}, `.repeat(10)}]`);
  assert.throws(() => parseYaml(laughs.join('\n')), /aliases multiply/);
});

test('knows where everything stands', () => {
  const { tree } = parseYaml('a:\n- b: 1\n  c:\n    d: 2\n');
  const list = (tree as TreeMap).values[0] as TreeList;
  const map = list.items[0] as TreeMap;
  assert.deepEqual(
    [(tree as TreeMap).valueAt[0], list.itemAt[0], map.keyAt[1], map.valueAt[1]],
    [3, 5, 12, 19],
  );
});
