import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CelOptions, celProblem, plainCel } from '#base/cel-problem.ts';
import type { ConfigError } from '#config/config-error.ts';
import { ParseContext } from '#config/parse-context.ts';
import { HeaderMap } from '#http/header-map.ts';
import { create } from '#schema/create.ts';
import type { Expr } from '#schema/messages/google/api/expr/v1alpha1.ts';
import type { StreamInfo } from '../stream-info.ts';
import { parseCelTree } from './cel-config.ts';
import { type CelContext, CelProgram } from './cel-program.ts';
import { celToJson, celToText } from './cel-value.ts';

const headers = new HeaderMap();
headers.path = '/a?b=c';
headers.add('x-a', '\xc3\xa9');
const context: CelContext = {
  info: {
    connection: {},
    upstream: {},
    dynamicMetadata: { ns: { k: 1, l: [true, null] } },
  } as unknown as StreamInfo,
  requestHeaders: headers,
  responseHeaders: undefined,
  responseTrailers: undefined,
};

function resultOf(text: string, options: CelOptions = plainCel): unknown {
  assert.equal(celProblem(text, options), undefined);
  return new CelProgram({ text, options }).evaluate(context);
}

const shown: readonly (readonly [string, string, unknown])[] = [
  ['request.path', '/a?b=c', '/a?b=c'],
  ['request.url_path', '/a', '/a'],
  ["request.headers['X-A']", '\xc3\xa9', '\xc3\xa9'],
  ["size(request.headers['x-a'])", '1', 1],
  ['1000000.0', '1e+06', 1_000_000],
  ['1234567.89', '1.23457e+06', 1_234_567.89],
  ["duration('90061.25s')", '25h1m1.25s', '90061.250s'],
  ["duration('1500us')", '1.5ms', '0.001500s'],
  ["timestamp('2020-01-02T03:04:05.678Z')", '2020-01-02T03:04:05.678+00:00', '2020-01-02T03:04:05.678Z'],
  ['null', 'NULL', null],
  ["b'ab'", 'ab', 'YWI='],
  ['[1, true]', 'CelList value', [1, true]],
  ['request', 'CelMap value', undefined],
  ['metadata.filter_metadata.ns.k', '1', 1],
  [
    'metadata',
    'filter_metadata { key: "ns" value { fields { key: "k" value { number_value: 1 } } fields { key: "l" value { list_value { values { bool_value: true } values { null_value: NULL_VALUE } } } } } } ',
    { filter_metadata: { ns: { k: 1, l: [true, null] } } },
  ],
];
for (const [text, asText, asJson] of shown)
  test(`shows ${text} as Envoy does`, () => {
    const value = resultOf(text);
    assert.equal(celToText(value), asText);
    assert.deepEqual(celToJson(value), asJson);
  });

test('what is not there is an error, and no condition holds on it', () => {
  for (const text of [
    'request.nope',
    'foo',
    'request.headers.nope',
    "'a' + 'b'",
    '[1] + [2]',
    '1 / 0',
    "1 > 'a'",
  ])
    assert.equal(resultOf(text), undefined, text);
  assert.equal(new CelProgram({ text: 'foo || true', options: plainCel }).holds(context), true);
  assert.equal(new CelProgram({ text: 'request.path', options: plainCel }).holds(context), false);
});

test('strings may be put together where that is allowed', () => {
  assert.equal(resultOf("'a' + 'b'", { ...plainCel, stringConcat: true }), 'ab');
  assert.equal(resultOf('string(1)', { ...plainCel, stringConversion: true }), '1');
  assert.equal(resultOf("'a-b'.replace('-', '+')", { ...plainCel, stringFunctions: true }), 'a+b');
});

const refused: readonly (readonly [string, string])[] = [
  ['', 'Not able to parse expression: INVALID_ARGUMENT: ERROR: <input>:1:1'],
  ['a\nb c', 'Not able to parse expression: INVALID_ARGUMENT: ERROR: <input>:2:1'],
  ['nope(1)', 'failed to create an expression: No overload found in reference resolve step for nope'],
  ['[string(1)]', 'failed to create an expression: No overload found in reference resolve step for string'],
  ['[1].exists(x, x == 1)', 'failed to create an expression: Comprehension support is disabled'],
  ["'a'.matches('(')", 'failed to create an expression: invalid regular expression: missing ): ('],
];
for (const [text, problem] of refused)
  test(`refuses ${JSON.stringify(text)}`, () => assert.ok(celProblem(text, plainCel)?.startsWith(problem)));

test('a tree becomes the text it was made of', () => {
  const ident = (name: string) => ({ ident_expr: { name } });
  const call = (name: string, ...args: object[]) => ({ call_expr: { function: name, args } });
  const tree = create('google.api.expr.v1alpha1.Expr', {
    call_expr: {
      function: '_&&_',
      args: [
        call(
          '_==_',
          { select_expr: { operand: ident('request'), field: 'path' } },
          { const_expr: { string_value: 'a"\u00e9' } },
        ),
        call('!_', call('@in', { const_expr: { int64_value: -5n } }, { list_expr: { elements: [] } })),
      ],
    },
  } as never) as Expr;
  const problems: ConfigError[] = [];
  const data = parseCelTree(tree, plainCel, new ParseContext('', problems));
  assert.deepEqual(problems, []);
  assert.equal(data?.text, '((request.path == "a\\"\u00e9") && !(((-5) in [])))');
});
