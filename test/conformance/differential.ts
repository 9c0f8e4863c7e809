// npm run differential [-- --seed N --count N --only N --http2]
// npm run differential -- --configurations N [--seed N --count N --only N]: requests through random configurations
// Sends the same seeded random requests through the real Envoy and through chancery and prints what differs.
import { parseArgs } from 'node:util';
import { compareConfigurations } from './differential/compare-configurations.ts';
import { compareSides } from './differential/compare-sides.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: String(Date.now() % 100_000) },
    count: { type: 'string' },
    configurations: { type: 'string' },
    only: { type: 'string' },
    http2: { type: 'boolean', default: false },
    self: { type: 'boolean', default: false },
    lines: { type: 'string', default: '10' },
    show: { type: 'string', default: '25' },
    /** Shows the configuration, too. */
    manager: { type: 'boolean', default: false },
  },
});

if (values.configurations !== undefined) {
  const differences = await compareConfigurations({
    seed: Number(values.seed),
    configurations: Number(values.configurations),
    requests: Number(values.count ?? 40),
    ...(values.only ? { only: Number(values.only) } : {}),
    second: values.self ? 'envoy' : 'chancery',
  });
  for (const { number, configuration, request, lines } of differences.slice(0, Number(values.show))) {
    console.log(`\n✖ --seed ${values.seed} --only ${number}\n    > ${JSON.stringify(request)}`);
    for (const line of lines.slice(0, Number(values.lines))) console.log(`      ${line.slice(0, 400)}`);
    if (values.manager) console.log(JSON.stringify(configuration.manager));
  }
  console.log(
    `\nseed ${values.seed}: ${values.configurations} configurations, ${differences.length} requests differ`,
  );
  process.exit(differences.length > 0 ? 1 : 0);
}

const { differences, compared } = await compareSides({
  seed: Number(values.seed),
  count: Number(values.count ?? 400),
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
