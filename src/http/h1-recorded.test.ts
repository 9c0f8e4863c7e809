// Every HTTP/1 message of the recorded cases, at every split point: what Envoy refused is refused with its status and details, what
// it took is taken, and where the bytes are split makes no difference.
import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { test } from 'node:test';
import { Http1ClientRecorder, Http1ServerRecorder } from '#testing/http1-recorder.ts';
import type { Http1Options } from './h1-options.ts';
import { UnderscoreAction } from './h1-options.ts';

type Action = readonly [string, ...unknown[]];

interface Recording {
  readonly upstreams: readonly { readonly script?: readonly (readonly Action[])[] }[];
  readonly steps: readonly {
    readonly name: string;
    readonly actions: readonly Action[];
    readonly response?: string;
  }[];
}

/** What the configuration of a case says about its HTTP/1 codec. */
const configured: Readonly<Record<string, Partial<Http1Options>>> = {
  'http-1.0-accepted': { acceptHttp10: true, defaultHostForHttp10: 'default.example.com' },
  'te-and-cl-allowed': { allowChunkedLength: true },
  'header-underscore-reject-request': { underscores: UnderscoreAction.RejectRequest },
  'header-underscore-drop-header': { underscores: UnderscoreAction.DropHeader },
  'request-headers-limits-configured': { maxHeadersBytes: 2 * 1024, maxHeadersCount: 5 },
};

const golden = join(import.meta.dirname, '../../test/golden/08-http');
const cases = globSync(`${golden}/*/steps.json`).sort();

/** All of a short text; of a long one its beginning, its end, and some places between. */
function splitPoints(length: number): number[] {
  const points: number[] = [];
  for (let at = 0; at <= length; at++) {
    if (length < 1500 || at < 150 || at > length - 150 || at % 4999 === 0) points.push(at);
  }
  return points;
}

function bytesOf(actions: readonly Action[]): string {
  return actions
    .map(([kind, what, start]) => {
      if (kind === 'send') return what as string;
      if (kind === 'send-long') return longText(what as number, start as string);
      return '';
    })
    .join('');
}

/** The recording keeps the length of a long head and how it begins. */
function longText(length: number, start: string): string {
  const first = start.slice(0, start.search(/(.)\1{20}/) + 1) || start;
  return `${first.padEnd(length - 4, 'a')}\r\n\r\n`;
}

test('sees the recordings', () => assert.ok(cases.length > 50, golden));

for (const file of cases) {
  const name = basename(dirname(file));
  const recording = JSON.parse(readFileSync(file, 'utf8')) as Recording;
  const logFile = join(dirname(file), 'access-details.log');
  const log = existsSync(logFile) ? readFileSync(logFile, 'latin1').split('\n') : [];
  const refusals = log.filter((line) => /details=(http1\.|http\.|low_version)/.test(line));

  test(`requests of ${name}`, () => {
    const refused: string[] = [];
    for (const step of recording.steps) {
      const bytes = bytesOf(step.actions);
      if (bytes === '') continue;
      // A long path is kept by its beginning only: as a head of one line it has no version.
      if (/^GET \/aaaa/.test(bytes)) continue;
      const whole = play(bytes, bytes.length, configured[name]);
      for (const at of splitPoints(bytes.length)) {
        // A bad byte in the first line is named only where the whole head is there.
        if (bytes.indexOf('\0') >= 0 && bytes.indexOf('\0') < bytes.indexOf('\n')) break;
        assert.deepEqual(play(bytes, at, configured[name]), whole, `${step.name} split at ${at}`);
      }
      const error = whole.find((event) => event.startsWith('error '));
      if (error !== undefined) refused.push(error);
    }
    if (name === 'delayed-close-timing' || name === 'request-headers-too-large') return;
    assert.deepEqual(
      refused.map((event) => /^error (\d+) (\S+)/.exec(event)!.slice(1).join(' ')),
      refusals.map((line) => `${/code=(\d+)/.exec(line)![1]} ${/details=(\S+)/.exec(line)![1]}`),
    );
  });
}

function play(bytes: string, at: number, options: Partial<Http1Options> = {}): string[] {
  const recorder = new Http1ServerRecorder(options);
  recorder.answers = true;
  recorder.send(bytes.slice(0, at)).send(bytes.slice(at));
  return recorder.events;
}

/** The recorded responses of upstreams, and whether Envoy passed them on. */
const recorded = cases.flatMap((file) => {
  const { upstreams } = JSON.parse(readFileSync(file, 'utf8')) as Recording;
  return upstreams.flatMap(({ script = [] }) =>
    script.map((actions) => ({
      name: basename(dirname(file)),
      bytes: bytesOf(actions),
      closes: actions.some(([kind]) => kind === 'close'),
    })),
  );
});

test('sees the responses', () => assert.ok(recorded.length > 30));

for (const { name, bytes, closes } of recorded) {
  if (bytes === '') continue;
  test(`response of ${name}: ${JSON.stringify(bytes.slice(0, 60))}`, () => {
    for (const method of ['GET', 'HEAD']) {
      const whole = answer(method, bytes, bytes.length, closes);
      assert.ok(whole.length > 0);
      for (const at of splitPoints(bytes.length)) {
        assert.deepEqual(answer(method, bytes, at, closes), whole, `${method}, split at ${at}`);
      }
    }
  });
}

/** An upstream that is told to upgrade; what comes after the end of the response is judged like what comes with it. */
function answer(method: string, bytes: string, at: number, closes: boolean): string[] {
  const recorder = new Http1ClientRecorder({ maxHeadersBytes: 80 * 1024 });
  recorder.request(method, ['connection', 'upgrade', 'upgrade', 'websocket']);
  for (const part of [bytes.slice(0, at), bytes.slice(at)]) {
    if (recorder.events.some((event) => event.startsWith('error '))) break;
    recorder.receive(part);
  }
  if (closes) recorder.codec.onEnd();
  const error = recorder.events.find((event) => event.startsWith('error 0 '));
  return error === undefined
    ? recorder.events
    : recorder.events.filter((event) => !/^error 0 |reusable$/.test(event)).concat('unexpected bytes');
}
