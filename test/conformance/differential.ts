// npm run differential [-- --seed N --count N --only N --http2]
// Sends the same seeded random requests through the real Envoy and through chancery and prints what differs.
import { parseArgs } from 'node:util';
import { compareSides } from './differential/compare-sides.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: String(Date.now() % 100_000) },
    count: { type: 'string', default: '400' },
    only: { type: 'string' },
    http2: { type: 'boolean', default: false },
    self: { type: 'boolean', default: false },
    lines: { type: 'string', default: '10' },
    show: { type: 'string', default: '25' },
  },
});

const { differences, compared } = await compareSides({
  seed: Number(values.seed),
  count: Number(values.count),
  ...(values.only ? { only: Number(values.only) } : {}),
  http2: values.http2,
  second: values.self ? 'envoy' : 'chancery',
});
for (const { exchange, lines } of differences.slice(0, Number(values.show))) {
  console.log(`\n✖ --seed ${values.seed} --only ${exchange.number}  end: ${exchange.end}`);
  for (const piece of exchange.pieces)
    console.log(`    > ${JSON.stringify(piece.length > 400 ? `${piece.slice(0, 400)}...` : piece)}`);
  for (const line of lines.slice(0, Number(values.lines)))
    console.log(`      ${line.length > 300 ? `${line.slice(0, 300)}...` : line}`);
}
console.log(`\nseed ${values.seed}: ${compared} exchanges, ${differences.length} differ`);
process.exitCode = differences.length > 0 ? 1 : 0;
