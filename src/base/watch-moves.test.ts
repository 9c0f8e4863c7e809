import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { foreignFunctions } from './foreign-functions.ts';
import { watchMoves } from './watch-moves.ts';

test('tells of files that are moved in, not of those that are written or removed', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'moves-'));
  const seen: string[] = [];
  let wake = () => {};
  const close = watchMoves(folder, (name) => {
    seen.push(name);
    wake();
  });
  t.after(() => {
    close();
    rmSync(folder, { recursive: true });
  });
  const until = async (name: string) => {
    while (!seen.includes(name))
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
  };
  const path = (name: string) => join(folder, name);
  writeFileSync(path('written'), 'a');
  writeFileSync(path('written'), 'b');
  rmSync(path('written'));
  mkdirSync(path('..1'));
  symlinkSync('..1', path('..data_new'));
  renameSync(path('..data_new'), path('..data'));
  await until('..data');
  writeFileSync(path('new'), '');
  renameSync(path('new'), path('in use'));
  await until('in use');
  if (foreignFunctions() === undefined) return;
  assert.deepEqual(seen, ['..data', 'in use']);
});

test('a directory that is not there cannot be watched', () => {
  assert.throws(() => watchMoves('/nowhere/at/all', () => {}));
});
