import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RE2JS } from 're2js';
import { linearRegExp } from './linear-regexp.ts';
import { compileRegex, parseSubstitution, regexProblem, substitutionProblem } from './regex.ts';

const harmless = [
  '/b[io]t',
  '/api/v[0-9]+/users/.*',
  '.*\\.(jpg|png|gif)',
  '^/service/([^/]+)(/.*)$',
  '.*foo.*',
  '/([^/]+)/x/([^/]+)',
  '(?i)/Case/[a-z]+',
  '\\d{3}',
  '.*-\\d{4}',
  '(users|user)/?',
  '(/[a-z]+)*',
  'a|b|c.*',
  '[[:alpha:]_]\\w*',
];
for (const pattern of harmless) {
  test(`${pattern} runs on V8`, () => assert.notEqual(linearRegExp(pattern), undefined));
}

const harmful = [
  '(a+)+b',
  '(a*)*',
  '(a|a)*b',
  '(a|ab)*c',
  '.*a.*b.*c',
  '.*[0-9]+x',
  '(.*)*',
  '([a-z]+/?)+',
  '(?:.*)a(?:.*)[^\\x00-\\x7f]',
  '(x|y|z|a){0,9}(x|y)(x|y)(x|y)(x|y)(x|y)',
  '^a|b',
  '(?m)^a$',
  '\\bword\\b',
  '\\pL+',
];
for (const pattern of harmful) {
  test(`${pattern} stays with RE2`, () => assert.equal(linearRegExp(pattern), undefined));
}

test('answers in linear time for a pattern that makes a backtracking engine explode', () => {
  const started = performance.now();
  assert.equal(compileRegex('(a+)+b').fullMatch('a'.repeat(5_000)), false);
  assert.equal(compileRegex('.*a.*a.*a.*a.*b').fullMatch('a'.repeat(5_000)), false);
  assert.ok(performance.now() - started < 1_000);
});

test('matches UTF-8 characters, not bytes, in latin1 texts', () => {
  const text = Buffer.from('/ä/€', 'utf8').toString('latin1');
  assert.equal(compileRegex('/./.').fullMatch(text), true);
  assert.equal(compileRegex('/ä/.').fullMatch(text), true);
  assert.equal(compileRegex('(.)/').replaceAll(text, ['x', 1]), Buffer.from('/xä€').toString('latin1'));
});

test('a dot matches no line feed', () => {
  assert.equal(compileRegex('a.*').fullMatch('ab\nc'), false);
  assert.equal(compileRegex('(?s)a.*').fullMatch('ab\nc'), true);
});

const rewrites = [
  ['^/service/([^/]+)(/.*)$', '\\2/instance/\\1', '/service/foo/v1/api', '/v1/api/instance/foo'],
  ['one', 'two', '/xxx/one/yyy/one/zzz', '/xxx/two/yyy/two/zzz'],
  ['^(.*?)one(.*)$', '\\1two\\2', '/xxx/one/yyy/one/zzz', '/xxx/two/yyy/one/zzz'],
  ['(?i)/xxx/', '/yyy/', '/aaa/XxX/bbb', '/aaa/yyy/bbb'],
  ['b*', 'x', 'abc', 'xaxcx'],
  ['^/a', '\\0\\\\', '/abc', '/a\\bc'],
  ['^/(x)?', '[\\1]', '/abc', '[]abc'],
  ['nothing', 'x', '/abc', '/abc'],
] as const;
for (const [pattern, substitution, text, expected] of rewrites) {
  test(`replaces ${pattern} by ${substitution} as RE2 does`, () => {
    assert.equal(compileRegex(pattern).replaceAll(text, parseSubstitution(substitution)), expected);
  });
}

test('a substitution knows only digits and backslashes behind a backslash', () => {
  assert.equal(substitutionProblem('a', '\\x'), 'a backslash must be followed by a digit or a backslash');
  assert.equal(substitutionProblem('a', 'x\\'), 'a backslash must be followed by a digit or a backslash');
  assert.equal(
    substitutionProblem('(a)', '\\2'),
    'names group 2, but the pattern has 1: nothing is replaced',
  );
  assert.equal(substitutionProblem('(a)', '\\1\\\\'), undefined);
  assert.deepEqual(parseSubstitution('a\\x'), ['a']);
  assert.deepEqual(parseSubstitution('a\\1\\\\b'), ['a', 1, '\\b']);
});

const wrong = [
  ['a(b', 'missing ): a(b'],
  ['a)b', 'unexpected ): a)b'],
  ['(?=a)', 'invalid perl operator: (?='],
  ['a**', 'bad repetition operator: **'],
  ['*', 'no argument for repetition operator: *'],
  ['[z-a]', 'invalid character class range: z-a'],
  ['[a', 'missing ]: [a'],
  ['\\1', 'invalid escape sequence: \\1'],
  ['a\\', 'trailing \\'],
  ['a{1001}', 'invalid repetition size: {1001}'],
] as const;
for (const [pattern, problem] of wrong) {
  test(`says about ${pattern} what RE2 says`, () => assert.equal(regexProblem(pattern), problem));
}

test('V8 and RE2 agree on random patterns and texts', () => {
  const seed = Number(process.env.SEED ?? 7);
  let state = seed;
  const random = (below: number) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % below;
  };
  const pieces = [
    'a',
    'b',
    '/',
    '.',
    '.*',
    '[ab]',
    '[^/]+',
    '\\d',
    '(a|b)',
    '(ab)?',
    '(a|ab)',
    '[a-c]{1,2}',
    '\\.',
    '(b*)',
    '(?:/a)*',
  ];
  let proven = 0;
  for (let i = 0; i < 3_000; i++) {
    let pattern = random(3) === 0 ? '^' : '';
    for (let n = 1 + random(5); n > 0; n--) pattern += pieces[random(pieces.length)];
    if (random(4) === 0) pattern += '$';
    const linear = linearRegExp(pattern);
    if (linear === undefined) continue;
    proven++;
    const compiled = compileRegex(pattern);
    const re2 = RE2JS.compile(pattern);
    for (let j = 0; j < 4; j++) {
      let text = '';
      for (let n = random(10); n > 0; n--) text += 'ab/.1c'[random(6)];
      assert.equal(compiled.fullMatch(text), re2.testExact(text), `seed ${seed}: ${pattern} on ${text}`);
      // RE2::GlobalReplace and Java's replaceAll differ in empty matches.
      if (re2.testExact('') || re2.test('')) continue;
      assert.equal(
        compiled.replaceAll(text, ['<', 0, '>']),
        re2.matcher(text).replaceAll('<$&>'),
        `seed ${seed}: ${pattern} in ${text}`,
      );
    }
  }
  assert.ok(proven > 500, `${proven} proven`);
});
