// Seeded random requests, and random configurations, through the real Envoy and through chancery: responses, upstream bytes, flags and
// details must be the same.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { missing } from '#testing/peers.ts';
import { compareConfigurations } from './differential/compare-configurations.ts';
import { compareSides } from './differential/compare-sides.ts';

const seed = Number(process.env.DIFFERENTIAL_SEED ?? 1);

for (const [protocol, count] of [
  ['HTTP/1', 600],
  ['HTTP/2', 300],
] as const) {
  test(`random requests over ${protocol}, seed ${seed}, come out as from Envoy`, {
    skip: missing('envoy'),
    timeout: 120_000,
  }, async () => {
    const http2 = protocol === 'HTTP/2';
    const { differences, compared } = await compareSides({ seed, count, http2 });
    assert.equal(compared, count);
    const shown = differences
      .slice(0, 5)
      .map(
        ({ exchange, lines }) =>
          `npm run differential -- --seed ${seed} --only ${exchange.number}${http2 ? ' --http2' : ''}\n${lines.slice(0, 12).join('\n')}`,
      );
    assert.equal(differences.length, 0, `${differences.length} differ:\n${shown.join('\n\n')}`);
  });
}

test(`random configurations, seed ${seed}, answer as Envoy does`, {
  skip: missing('envoy'),
  timeout: 120_000,
}, async () => {
  const differences = await compareConfigurations({ seed, configurations: 10, requests: 40 });
  const shown = differences
    .slice(0, 5)
    .map(
      ({ number, request, lines }) =>
        `npm run differential -- --configurations 10 --seed ${seed} --only ${number}\n${JSON.stringify(request)}\n${lines.slice(0, 12).join('\n')}`,
    );
  assert.equal(differences.length, 0, `${differences.length} differ:\n${shown.join('\n\n')}`);
});
