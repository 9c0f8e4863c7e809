import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { supportedPage } from '../../tools/gen-supported.ts';

test('docs/supported.md is up to date (node tools/gen-supported.ts)', async () => {
  assert.equal(readFileSync('docs/supported.md', 'utf8'), await supportedPage());
});
