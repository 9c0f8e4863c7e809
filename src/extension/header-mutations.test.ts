import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HeaderField } from '#http/header-field.ts';
import { HeaderMap } from '#http/header-map.ts';
import type { FormatContext } from './formatter.ts';
import { AppendAction, HeaderStepList, LevelHeaderMutations } from './header-mutations.ts';

const write = {
  name: 'x-a',
  field: HeaderField.Listed,
  action: AppendAction.AppendIfExistsOrAdd,
  value: '',
  formatter: { format: () => 'a\r\nevil: 1\0' },
  keepEmptyValue: false,
  joinsInRequests: false,
  joinsInResponses: false,
};
const context = {} as FormatContext;

for (const [name, mutations] of [
  ['a level', new LevelHeaderMutations([], [write])],
  ['a list of steps', new HeaderStepList([{ removed: '', removedIf: null, write }])],
] as const) {
  test(`${name} begins no new line of a response or trailer`, () => {
    const headers = new HeaderMap();
    headers.status = 200;
    mutations.apply(headers, context);
    assert.equal(headers.get('x-a'), 'a  evil: 1 ');
  });

  test(`${name} has requests looked at before they are sent`, () => {
    const headers = new HeaderMap();
    headers.method = 'GET';
    mutations.apply(headers, context);
    assert.ok(headers.isUnchecked);
  });
}
