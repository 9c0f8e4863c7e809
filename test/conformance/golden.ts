// npm run golden [-- options] [part of a case name ...]
// Replays recorded cases and prints what differs. The proxy is ours, or the real Envoy with --envoy (or GOLDEN_PEER=envoy).
import { parseArgs } from 'node:util';
import { type KnownDifference, knownDifferences } from './golden/known-differences.ts';
import { caseNames } from './golden/recorded-case.ts';
import { type Aspect, aspects, type ReplayResult, replay } from './golden/replay.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    envoy: { type: 'boolean', default: process.env.GOLDEN_PEER === 'envoy' },
    only: { type: 'string', multiple: true },
    lines: { type: 'string', default: '12' },
    jobs: { type: 'string', default: '4' },
    known: { type: 'boolean', default: false },
    summary: { type: 'boolean', default: false },
    'without-logs': { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  console.log(`usage: npm run golden -- [options] [part of a case name ...]
  --envoy        play against the real Envoy
  --only ASPECT  compare only: ${aspects.join(', ')} (may be repeated)
  --lines N      lines to show per difference (12; 0 for all)
  --known        show also what differs as docs/differences.md says
  --summary      no differences, only which cases pass
  --jobs N       cases at the same time (4)
  --without-logs take the access loggers out of the configuration
  --keep         keep each case's folder (configuration, logs) and print it`);
  process.exit(0);
}

const kind = values.envoy ? 'envoy' : 'chancery';
const exact = new Set(positionals);
const names = caseNames().filter((name) =>
  positionals.length === 0 ? true : exact.has(name) || positionals.some((part) => name.includes(part)),
);
const maxLines = Number(values.lines) || Number.POSITIVE_INFINITY;
const failed: ReplayResult[] = [];
let passed = 0;
let knownCount = 0;
const known = kind === 'envoy' ? new Map<string, KnownDifference>() : knownDifferences();

const play = (name: string) =>
  replay(name, {
    kind,
    keep: values.keep,
    withoutLogs: values['without-logs'],
    ...(values.only ? { only: values.only as Aspect[] } : {}),
  });

const queue = [...names];
await Promise.all(
  Array.from({ length: Math.min(Number(values.jobs), names.length) }, async () => {
    for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
      let result = await play(name);
      // On a busy machine a time may have been missed: what fails is played once more.
      if (result.differences.some((it) => it.where !== 'run') && names.length > 1) result = await play(name);
      const expected = known.get(name);
      if (expected && !values.known && sameAspects(result, expected)) {
        knownCount++;
        console.log(`- ${result.name}: ${expected.reason}`);
        continue;
      }
      if (result.differences.length === 0) passed++;
      else failed.push(result);
      print(result);
    }
  }),
);

console.log(
  `\n${passed} passed, ${failed.length} failed, ${knownCount} differ as docs/differences.md says (${kind})`,
);
process.exitCode = failed.length > 0 ? 1 : 0;

function sameAspects({ differences }: ReplayResult, { aspects }: KnownDifference): boolean {
  const differing = new Set(differences.map((it) => it.aspect ?? 'run'));
  return differing.size === aspects.length && aspects.every((it) => differing.has(it));
}

function print(result: ReplayResult): void {
  const seconds = (result.milliseconds / 1000).toFixed(1);
  const folder = values.keep ? ` ${result.folder}` : '';
  if (result.differences.length === 0) {
    console.log(`✔ ${result.name} ${seconds}s${folder}`);
    return;
  }
  const where = result.differences.map((it) => it.where).join(', ');
  console.log(`✖ ${result.name} (${result.title}) ${seconds}s${folder}: ${where}`);
  if (values.summary) return;
  for (const { where, lines } of result.differences) {
    console.log(`    ${where}`);
    for (const line of lines.slice(0, maxLines))
      console.log(`      ${JSON.stringify(line).slice(1, -1).replaceAll('\\"', '"')}`);
    if (lines.length > maxLines) console.log(`      ... ${lines.length - maxLines} lines more (--lines 0)`);
  }
}
