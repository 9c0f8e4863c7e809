import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { H2Stream } from './h2-stream.ts';
import { StreamTable } from './h2-stream-table.ts';

test('finds what a Map would find, whatever comes and goes', () => {
  const table = new StreamTable();
  const model = new Map<number, H2Stream>();
  let state = 1;
  const next = (below: number) => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return (state >>> 8) % below;
  };
  let id = 1;
  for (let step = 0; step < 20_000; step++) {
    // Ids far apart, so that old ones share places with new ones.
    if (next(100) < 52) {
      const stream = { id } as H2Stream;
      table.add(stream);
      model.set(id, stream);
      id += 2 * (1 + next(40));
    } else if (model.size > 0) {
      const gone = [...model.keys()][next(Math.min(model.size, 50))]!;
      table.delete(gone);
      model.delete(gone);
    }
    const asked = 1 + 2 * next((id >> 1) + 1);
    assert.equal(table.get(asked), model.get(asked));
  }
  assert.equal(table.size, model.size);
  assert.deepEqual(
    table.all().map((stream) => stream.id),
    [...model.keys()],
  );
  table.delete(id);
  assert.equal(table.size, model.size);
});
