import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cipherGroups } from './cipher-list.ts';

const cases: readonly {
  readonly list: string;
  readonly groups: readonly (readonly string[])[] | undefined;
}[] = [
  { list: 'AES128-SHA:AES256-SHA', groups: [['AES128-SHA'], ['AES256-SHA']] },
  { list: 'TLS_RSA_WITH_AES_128_CBC_SHA', groups: [['AES128-SHA']] },
  {
    list: '[AES256-SHA|AES128-SHA]:AES128-GCM-SHA256',
    groups: [['AES256-SHA', 'AES128-SHA'], ['AES128-GCM-SHA256']],
  },
  {
    list: 'kRSA',
    groups: [['AES128-GCM-SHA256'], ['AES256-GCM-SHA384'], ['AES128-SHA'], ['AES256-SHA']],
  },
  { list: 'kRSA:!AESGCM:+AES128', groups: [['AES256-SHA'], ['AES128-SHA']] },
  {
    list: 'kRSA:@STRENGTH:-AES256-SHA',
    groups: [['AES256-GCM-SHA384'], ['AES128-GCM-SHA256'], ['AES128-SHA']],
  },
  { list: 'kRSA+AESGCM:!AES256', groups: [['AES128-GCM-SHA256']] },
  { list: '!AES128-SHA:AES128-SHA', groups: undefined },
  { list: '[AES128-SHA|AES256-SHA]:-AES128', groups: undefined },
  { list: 'AES128-SHA:NOPE', groups: undefined },
  { list: 'TLS_AES_128_GCM_SHA256', groups: undefined },
];

for (const { list, groups } of cases) {
  test(`reads ${list}`, () => assert.deepEqual(cipherGroups(list), groups));
}
