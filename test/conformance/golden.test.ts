// Every recorded case, played against chancery (or the real Envoy with GOLDEN_PEER=envoy, which proves the runner). Where we knowingly
// differ docs/differences.md says why; an entry that is no longer true fails here.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Difference } from './golden/compare.ts';
import { knownDifferences } from './golden/known-differences.ts';
import { caseNames } from './golden/recorded-case.ts';
import { replay } from './golden/replay.ts';

const kind = process.env.GOLDEN_PEER === 'envoy' ? 'envoy' : 'chancery';
const known = kind === 'envoy' ? new Map() : knownDifferences();
const names = caseNames();

test('every known difference names a recorded case', () => {
  assert.ok(names.length > 90);
  assert.deepEqual(
    [...known.keys()].filter((name) => !names.includes(name)),
    [],
  );
});

describe(`recorded cases (${kind})`, { concurrency: 4 }, () => {
  for (const name of names) {
    const expected = known.get(name);
    test(name, { timeout: 150_000 }, async (t) => {
      let { differences } = await replay(name, { kind });
      // A time may have been missed on a busy machine: what differs is played once more.
      if (differences.length > 0 && !expected) ({ differences } = await replay(name, { kind }));
      if (expected) {
        t.diagnostic(`known difference: ${expected.reason}`);
        const differing = new Set(differences.map((it) => it.aspect ?? 'run'));
        assert.deepEqual([...differing].sort(), [...expected.aspects].sort(), show(differences));
      } else assert.equal(show(differences), '');
    });
  }
});

function show(differences: readonly Difference[]): string {
  return differences.map(({ where, lines }) => [where, ...lines.slice(0, 40)].join('\n  ')).join('\n');
}
