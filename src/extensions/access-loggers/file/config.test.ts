import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ConfigError } from '#config/config-error.ts';
import { ParseContext } from '#config/parse-context.ts';
import type { FileAccessLog } from '#schema/messages/envoy/extensions/access_loggers/file/v3.ts';
import { parseFileAccessLog } from './config.ts';

function problemsOf(path: string): string[] {
  const problems: ConfigError[] = [];
  parseFileAccessLog({ path } as FileAccessLog, new ParseContext('log', problems));
  return problems.map((it) => it.message);
}

test('a file that cannot be opened is refused in the words of Envoy', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'access-log-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const missing = join(folder, 'none', 'x.log');
  assert.deepEqual(problemsOf(missing), [
    `log.path: unable to open file '${missing}': No such file or directory`,
  ]);
  assert.deepEqual(problemsOf(folder), [`log.path: unable to open file '${folder}': Is a directory`]);
  const fresh = join(folder, 'x.log');
  assert.deepEqual(problemsOf(fresh), []);
  assert.ok(existsSync(fresh));
});
