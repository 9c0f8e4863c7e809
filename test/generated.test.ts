// What is generated from api.binpb and committed is what the generators write today.
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { generateReference } from '../tools/gen-docs.ts';
import { generateMessages } from '../tools/gen-schema.ts';

const generators = [
  { run: 'node tools/gen-schema.ts', folder: 'src/schema/messages', generate: generateMessages },
  { run: 'node tools/gen-docs.ts', folder: 'docs/reference', generate: generateReference },
];

for (const { run, folder, generate } of generators)
  test(`${folder} is up to date (${run})`, () => {
    const files = generate();
    assert.deepEqual(globSync(`${folder}/**/*.{ts,md}`).sort(), [...files.keys()].sort());
    for (const [path, text] of files)
      assert.ok(readFileSync(path, 'utf8') === text, `${path} differs: run ${run}`);
  });
