// Each rule has a page, each page a rule, and the examples on a page do what it says.

import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { test } from 'node:test';
import { validateFiles } from './load.ts';
import { isStrictRule, ruleCatalog } from './rule-catalog.ts';

const folder = new URL('../../docs/rules/', import.meta.url);
/** What a file in a page cannot show. */
const withoutExample = new Set([
  'invalid-utf8',
  'unreadable-file',
  'too-large',
  'work-in-progress',
  'unsupported',
  'invalid-config',
  'certificate-expiry',
]);

test('every rule has a page, and every page a rule', () => {
  const pages = globSync('*.md', { cwd: folder.pathname })
    .map((it) => basename(it, '.md'))
    .filter((it) => it !== 'README');
  assert.deepEqual(pages.sort(), Object.keys(ruleCatalog).sort());
  const index = readFileSync(new URL('README.md', folder), 'utf8');
  for (const id of Object.keys(ruleCatalog))
    assert.ok(index.includes(`[${id}](${id}.md)`), `${id} is in the index`);
});

for (const [id, { title, severity }] of Object.entries(ruleCatalog)) {
  test(`the examples of ${id} do what its page says`, async () => {
    const page = readFileSync(new URL(`${id}.md`, folder), 'utf8');
    assert.ok(page.startsWith(`# ${id}\n\n${title}. **${severity}**`), 'the page names the rule');
    assert.equal(page.includes('`--strict`') && page.includes('an error with'), isStrictRule(id));
    const examples = [...page.matchAll(/```yaml\n([\s\S]*?)```/g)].map((it) => it[1]!);
    if (withoutExample.has(id)) return;
    assert.equal(examples.length, 2);
    const [wrong, right] = await Promise.all(examples.map((it) => rulesOf(it)));
    assert.ok(wrong!.includes(id), `the first example gives ${wrong!.join(', ') || 'nothing'}`);
    assert.ok(!right!.includes(id), 'the second example does not');
    if (severity === 'error')
      assert.deepEqual(
        right!.filter((it) => ruleCatalog[it]!.severity === 'error'),
        [],
      );
  });
}

async function rulesOf(yaml: string): Promise<string[]> {
  const { problems } = await validateFiles(['-'], { stdin: Buffer.from(yaml) });
  for (const it of problems) assert.ok(it.rule in ruleCatalog, `${it.rule} is in the catalog`);
  return problems.map((it) => it.rule);
}
