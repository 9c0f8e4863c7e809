// The same random exchanges on both sides, and where the outcomes differ.
import type { ProxyKind } from '#testing/proxy-process.ts';
import { diffLines } from '../golden/compare.ts';
import { type RandomExchange, randomExchange } from './random-requests.ts';
import { type Outcome, Side } from './side.ts';

export interface DifferentialOptions {
  readonly seed: number;
  readonly count: number;
  /** Only the exchange of this number. */
  readonly only?: number;
  /** Envoy against itself shows how much the runner can trust itself. */
  readonly second?: ProxyKind;
  /** The first request of each exchange, over HTTP/2. */
  readonly http2?: boolean;
}

export interface SideDifference {
  readonly exchange: RandomExchange;
  readonly lines: readonly string[];
}

export async function compareSides({
  seed,
  count,
  only,
  second = 'chancery',
  http2 = false,
}: DifferentialOptions) {
  const exchanges: RandomExchange[] = [];
  for (let number = 0; number < count; number++)
    if (only === undefined || number === only) exchanges.push(randomExchange(seed, number));
  if (only !== undefined && exchanges.length === 0) exchanges.push(randomExchange(seed, only));
  let differing = await play(exchanges, second, http2);
  // Some outcomes hang on who was faster (a client that leaves after 20 ms). What differs is played again, one at a time.
  for (let round = 0; round < 3 && differing.length > 0; round++) {
    differing = await play(
      differing.map((it) => it.exchange),
      second,
      http2,
      1,
    );
  }
  return { differences: differing, compared: exchanges.length };
}

async function play(
  exchanges: readonly RandomExchange[],
  second: ProxyKind,
  http2: boolean,
  atATime = 24,
): Promise<SideDifference[]> {
  const sides = await Promise.all([Side.start('envoy'), Side.start(second)]);
  try {
    const [envoy, ours] = await Promise.all(sides.map((side) => side.play(exchanges, atATime, http2)));
    const differences: SideDifference[] = [];
    exchanges.forEach((exchange, i) => {
      const lines = compareOutcomes(exchange, envoy![i]!, ours![i]!);
      if (lines.length > 0) differences.push({ exchange, lines });
    });
    return differences;
  } finally {
    for (const side of sides) await side.stop();
  }
}

/** docs/differences.md, "Random requests", says what is left out here, and why. */
function compareOutcomes(exchange: RandomExchange, envoy: Outcome, ours: Outcome): string[] {
  // A client that ended its side sees FIN or RST, depending on what was still under way.
  if (exchange.end === 'fin' && envoy.connection !== 'open' && ours.connection !== 'open')
    ours = { ...ours, connection: envoy.connection };
  if (envoy.log.includes('Too_many_responses_queued')) return [];
  // Not known yet for HTTP/2 or HTTP/1.
  if ('PRI * HTTP/2.0\r\n'.startsWith(exchange.pieces.join(''))) return [];
  const lines: string[] = [];
  // What of a body had been counted when its framing broke, or when it was answered, depends on how the bytes came in.
  // So does which of several mistakes is found first.
  const unread = (log: string) =>
    log
      .replace(/ DPE (http1\.\w+) rx=\d+/g, exchange.pieces.length > 1 ? ' DPE http1.? rx=?' : ' DPE $1 rx=?')
      .replace(/(request_payload_too_large|\{protocol_error\}) rx=\d+/g, '$1 rx=?');
  envoy = { ...envoy, log: unread(envoy.log) };
  ours = { ...ours, log: unread(ours.log) };
  for (const what of ['response', 'connection', 'upstream', 'log'] as const) {
    const difference = diffLines(envoy[what].split('\n'), ours[what].split('\n'));
    if (difference.length > 0)
      lines.push(`${what}:`, ...difference.map((line) => `  ${JSON.stringify(line)}`));
  }
  return lines;
}
