import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { provideSelfImport } from './self-import.ts';

test('a file anywhere can import chancery/schema', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'chancery-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'envoy.ts');
  writeFileSync(file, `import { cluster } from 'chancery/schema'; export default cluster({ name: 'web' });`);
  provideSelfImport();
  assert.deepEqual((await import(pathToFileURL(file).href)).default, { name: 'web' });
});
