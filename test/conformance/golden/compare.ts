// Compares what was recorded with what happened, after taking out what varies between two runs of Envoy itself (test/golden/README.md).
// What varies in a range stays, as ⟨kind number⟩, and must be near; everything else must be the same, byte by byte.
import type { Aspect } from './replay.ts';
import type { StepOutcome } from './scripted-client.ts';

export interface Difference {
  /** `response 03-third`, `stats`, `access-default.log` */
  readonly where: string;
  readonly aspect?: Aspect;
  /** The differing lines, `-` recorded and `+` ours. */
  readonly lines: readonly string[];
}

/** Takes out what varies: identifiers, dates, durations, client ports. */
export function normalize(text: string): string {
  return text
    .replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, '⟨uuid⟩')
    .replace(/\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z/g, '⟨time⟩')
    .replace(/^(date): \w+, \d+ \w+ 20[2-9]\d \d\d:\d\d:\d\d GMT/gim, '$1: ⟨date⟩')
    .replace(/^(x-envoy-upstream-service-time: )(\d+)/gim, '$1⟨ms $2⟩')
    .replace(/^(x-envoy-expected-rq-timeout-ms: )(\d+)/gim, '$1⟨ms $2⟩')
    .replace(/\bcurl\/[\d.]+/g, 'curl/⟨version⟩')
    .replace(/\b(127\.\d+\.\d+\.\d+|192\.0\.2\.2|\[::1\]):(?!2[1]\d{3}\b)[1-9]\d{4}\b/g, '$1:⟨port⟩');
}

/** `... 200 - rx tx DURATION SERVICE-TIME "x-forwarded-for" ...` */
function normalizeDefaultLog(text: string): string {
  return normalize(text).replace(
    /^(\[⟨time⟩\] "[^\n]*" \d+ \S+ \d+ \d+) (\d+) (\d+|-) /gm,
    (_, head, duration, service) => `${head} ⟨ms ${duration}⟩ ${service === '-' ? '-' : `⟨ms ${service}⟩`} `,
  );
}

/** Whether two normalized lines say the same. Durations may be somewhat shorter and, on a busy machine, quite a bit longer. */
export function sameLine(recorded: string, actual: string): boolean {
  if (recorded === actual) return true;
  const number = /⟨ms (\d+)⟩/g;
  if (recorded.replace(number, '⟨ms⟩') !== actual.replace(number, '⟨ms⟩')) return false;
  const expected = [...recorded.matchAll(number)].map((it) => Number(it[1]));
  const got = [...actual.matchAll(number)].map((it) => Number(it[1]));
  return expected.every((ms, i) => got[i]! >= ms * 0.8 - 60 && got[i]! <= ms * 1.2 + 1000);
}

export function compareText(where: string, aspect: Aspect, recorded: string, actual: string): Difference[] {
  const lines = diffLines(recorded.split('\n'), actual.split('\n'));
  return lines.length === 0 ? [] : [{ where, aspect, lines }];
}

export function compareResponse(
  step: {
    readonly name: string;
    readonly response?: string;
    readonly response_bytes?: number;
    readonly connection_after: string;
  },
  outcome: StepOutcome,
): Difference[] {
  const where = `response ${step.name}`;
  const lines: string[] = [];
  if (step.response !== undefined) {
    let actual = outcome.response;
    if (step.response_bytes !== undefined) {
      // The digits of a service time are somewhere in what was cut off.
      if (Math.abs(actual.length - step.response_bytes) > 3)
        lines.push(`- ${step.response_bytes} bytes`, `+ ${actual.length} bytes`);
      actual = actual.slice(0, step.response.length);
    }
    lines.push(
      ...diffLines(
        normalize(step.response).split('\n').map(visible),
        normalize(actual).split('\n').map(visible),
      ),
    );
  }
  if (step.connection_after !== outcome.connectionAfter)
    lines.push(
      `- connection afterwards: ${step.connection_after}`,
      `+ connection afterwards: ${outcome.connectionAfter}`,
    );
  return lines.length === 0 ? [] : [{ where, aspect: 'response', lines }];
}

/** What the upstreams saw. The order between two upstreams is left to chance, the order at each is not. */
export function compareUpstream(recorded: string, actual: string): Difference[] {
  const sections = (text: string) => {
    const byUpstream = new Map<string, string>();
    for (const section of normalize(text).split(/^(?=--- upstream=)/m)) {
      const upstream = /upstream=(\S+)/.exec(section)?.[1] ?? '';
      byUpstream.set(upstream, (byUpstream.get(upstream) ?? '') + section);
    }
    return [...byUpstream.values()].sort().join('');
  };
  const lines = (text: string) => sections(text).split('\n').map(visible);
  const expected = lines(recorded);
  const got = lines(actual);
  // The recorder cut a long request: "the first characters...(cut)".
  for (let i = 0; i < expected.length && i < got.length; i++) {
    const cut = expected[i]!.indexOf('...(cut)');
    if (cut >= 0 && got[i]!.startsWith(expected[i]!.slice(0, cut))) got[i] = expected[i]!;
  }
  const difference = diffLines(expected, got, /^--- upstream/);
  return difference.length === 0
    ? []
    : [{ where: 'upstream-saw.txt', aspect: 'upstream', lines: difference }];
}

export function compareLog(where: string, recorded: string, actual: string): Difference[] {
  return compareText(
    where,
    'log',
    normalizeDefaultLog(recorded.trimEnd()),
    normalizeDefaultLog(actual.trimEnd()),
  );
}

// Operators whose value is a time, a port of the client, a random number, or depends on one of these.
const varying =
  /DURATION|TIME|REMOTE_PORT|REMOTE_ADDRESS%|DIRECT_REMOTE|UPSTREAM_LOCAL|CONNECTION_ID|STREAM_ID|UNIQUE_ID|TRACE_ID|SESSION_ID|WIRE_BYTES|HEADER_BYTES|HEADERS_BYTES|HOSTNAME/;

/** Access logs that print every operator, as `"%OPERATOR%":value` or `%OPERATOR% => value`. What varies must have the same shape. */
export function compareAccessLogOperators(where: string, recorded: string, actual: string): Difference[] {
  const shape = (value: string) =>
    value.replace(/[0-9a-f]{8}-[0-9a-f-]{27}/g, '⟨uuid⟩').replace(/\d+/g, '⟨n⟩');
  const lines = (text: string): string[] =>
    text
      .trimEnd()
      .split('\n')
      .flatMap((line) => {
        if (!line.startsWith('{'))
          return [
            line.replace(/^(%.*%) => (.*)$/, (all, name, value) =>
              varying.test(name) ? `${name} => ${shape(value)}` : all,
            ),
          ];
        const fields = Object.entries(JSON.parse(line) as Record<string, unknown>);
        return [
          '{',
          ...fields.map(
            ([name, value]) =>
              `${name}: ${varying.test(name) ? shape(JSON.stringify(value)) : JSON.stringify(value)}`,
          ),
          '}',
        ];
      });
  // Over HTTP/2 the refused connection and the body of the request race: 0 or 5 bytes were received by then.
  const unraced = (text: string) =>
    /^(h2|tls)-/.test(where)
      ? text
          .replace(/(BYTES_RECEIVED%(?:: | => ))"?[05]/g, '$1⟨0 or 5⟩')
          .replace(/(BYTES_RECEIVED%%BYTES_SENT%(?:: | => ))"?[05]/g, '$1⟨0 or 5⟩')
          .replace(/ 503 UF [05] 98 /g, ' 503 UF ⟨0 or 5⟩ 98 ')
          .replace(/^%REQUEST_DURATION%.*\n/gm, '')
      : text;
  const prepared = (text: string) => unraced(normalizeDefaultLog(lines(text).join('\n')));
  return compareText(where, 'log', prepared(recorded), prepared(actual));
}

export interface Tolerance {
  readonly downstreamBytes: number;
  readonly upstreamBytes: number;
}

/** By how much byte counts may differ because numbers inside the messages, such as a service time, have other lengths. */
export function lengthTolerance(
  responses: readonly (readonly [recorded: string, actual: string])[],
  upstreamRecorded: string,
  upstreamActual: string,
): Tolerance {
  let downstreamBytes = 0;
  for (const [recorded, actual] of responses) downstreamBytes += Math.abs(recorded.length - actual.length);
  return { downstreamBytes, upstreamBytes: Math.abs(upstreamRecorded.length - upstreamActual.length) };
}

/** `/stats?usedonly`. Counters of the admin listener depend on how often somebody asked whether the proxy is ready. */
export function compareStats(recorded: string, actual: string, tolerance: Tolerance): Difference[] {
  const read = (text: string) => {
    const stats = new Map<string, string>();
    for (const line of text.split('\n')) {
      const colon = line.indexOf(': ');
      const name = line.slice(0, colon);
      if (
        colon < 0 ||
        /^(http\.admin\.|listener\.admin\.|server\.|listener_manager\.|cluster_manager\.|main_thread\.|filesystem\.|workers\.|runtime\.|dns\.|tls_inspector\.|access_logs\.)/.test(
          name,
        )
      )
        continue;
      // Histograms: how many samples were recorded where depends on durations.
      if (/^(P0\(|No recorded values)/.test(line.slice(colon + 2))) continue;
      stats.set(name, line.slice(colon + 2));
    }
    return stats;
  };
  const expected = read(recorded);
  const got = read(actual);
  const lines: string[] = [];
  for (const [name, value] of expected) {
    const actualValue = got.get(name);
    if (value === actualValue) continue;
    if (/_bytes_(total|buffered)$/.test(name) && actualValue !== undefined) {
      const allowed =
        Math.max(tolerance.downstreamBytes, tolerance.upstreamBytes) + (/^cluster\./.test(name) ? 4 : 0);
      if (
        Math.abs(Number(value) - Number(actualValue)) <=
        (name.startsWith('cluster.') ? tolerance.upstreamBytes : allowed)
      )
        continue;
    }
    lines.push(`- ${name}: ${value}`);
    if (actualValue !== undefined) lines.push(`+ ${name}: ${actualValue}`);
  }
  for (const [name, value] of got) if (!expected.has(name)) lines.push(`+ ${name}: ${value}`);
  return lines.length === 0 ? [] : [{ where: 'stats-used.txt', aspect: 'stats', lines }];
}

/** Shows a carriage return that is missing or too many. */
function visible(line: string): string {
  return line.endsWith('\r') ? line.slice(0, -1) : `${line}⟨no CR⟩`;
}

/** The lines that differ, in order, by longest common subsequence. `heading` lines are shown above what differs below them. */
export function diffLines(
  recorded: readonly string[],
  actual: readonly string[],
  heading?: RegExp,
): string[] {
  const n = recorded.length;
  const m = actual.length;
  if (n === m && recorded.every((line, i) => sameLine(line, actual[i]!))) return [];
  const common = Array.from({ length: n + 1 }, () => new Uint16Array(m + 1));
  for (let i = n - 1; i >= 0; i--)
    for (let j = m - 1; j >= 0; j--)
      common[i]![j] = sameLine(recorded[i]!, actual[j]!)
        ? common[i + 1]![j + 1]! + 1
        : Math.max(common[i + 1]![j]!, common[i]![j + 1]!);
  const lines: string[] = [];
  let title = '';
  const add = (line: string) => {
    if (title) lines.push(`  ${title}`);
    title = '';
    lines.push(line.replace('⟨no CR⟩', ''));
  };
  let i = 0;
  let j = 0;
  while (i < n || j < m) {
    if (i < n && j < m && sameLine(recorded[i]!, actual[j]!)) {
      if (heading?.test(recorded[i]!)) title = recorded[i]!.replace('⟨no CR⟩', '');
      i++;
      j++;
    } else if (j >= m || (i < n && common[i + 1]![j]! >= common[i]![j + 1]!)) add(`- ${recorded[i++]!}`);
    else add(`+ ${actual[j++]!}`);
  }
  return lines;
}
