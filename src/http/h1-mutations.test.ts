// Damaged messages: whatever arrives, and however it is split, the codecs neither throw nor lose count, say the same, and stop
// after an error. Run with SEED=n to repeat a run.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Http1ClientRecorder, Http1ServerRecorder } from '#testing/http1-recorder.ts';
import { mulberry32 } from '#testing/mulberry32.ts';

const seed = Number(process.env.SEED ?? 1);

const next = mulberry32(seed);
const random = (below: number): number => next() % below;

const requests = [
  'GET /a?b HTTP/1.1\r\nHost: a\r\nAccept: */*\r\nX-Y: z\r\n\r\n',
  'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello',
  'POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nA;x=y\r\n0123456789\r\n0\r\nt: u\r\n\r\n',
  'GET http://u@b:80/p HTTP/1.1\r\nhost: a\r\nconnection: te, x\r\nte: trailers\r\nx: \t y \r\n\r\n',
  'CONNECT b:443 HTTP/1.1\r\nhost: b\r\n\r\nraw',
  'GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nraw',
];

const responses = [
  'HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx: y\r\n\r\nok',
  'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nt: u\r\n\r\n',
  'HTTP/1.0 200 OK\r\nvary: a\r\nvary: b\r\n\r\nuntil close',
  'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n',
];

/** What parsers trip over, by themselves and put together. */
const pieces = [
  ...[
    '\r',
    '\n',
    '\r\n',
    '\r\n\r\n',
    '\n\n',
    '\0',
    '\x7f',
    ' ',
    '\t',
    ':',
    ';',
    ',',
    '0',
    '5\r\n',
    'g',
    '\xff',
    'HTTP/1.1',
    'H',
  ],
  ...[
    '\r\n folded',
    '\r\n\t',
    'host: b\r\n',
    'Content-Length: 1\r\n',
    'transfer-encoding: chunked\r\n',
    'te : x\r\n',
    '"',
    '0\r\n\r\n',
  ],
  ...[
    'connection: close\r\n',
    'x_y: 1\r\n',
    'upgrade: h2c\r\n',
    'GET / HTTP/1.1\r\n',
    'f'.repeat(20),
    '%00',
    '/../',
    '//',
    '@',
    '[',
  ],
];

function mutate(text: string): string {
  let result = text.repeat(1 + random(2));
  for (let n = 1 + random(3); n > 0; n--) {
    const at = random(result.length + 1);
    const cut = random(4) === 0 ? random(12) : random(2);
    const put = random(5) === 0 ? '' : pieces[random(pieces.length)]!;
    result = result.slice(0, at) + put + result.slice(at + cut);
  }
  return result;
}

function splits(text: string): string[] {
  const parts: string[] = [];
  for (let start = 0; start < text.length; ) {
    const end = start + 1 + random(random(3) === 0 ? text.length : 4);
    parts.push(text.slice(start, end));
    start = end;
  }
  return parts;
}

function serve(parts: readonly string[]): string[] {
  const recorder = new Http1ServerRecorder({
    enableTrailers: true,
    acceptHttp10: true,
    maxHeadersBytes: 400,
  });
  recorder.answers = true;
  for (const part of parts) recorder.send(part);
  recorder.codec.onEnd();
  return recorder.events;
}

function ask(parts: readonly string[]): string[] {
  const recorder = new Http1ClientRecorder({ enableTrailers: true, maxHeadersBytes: 400 });
  recorder.request('GET', ['connection', 'upgrade', 'upgrade', 'websocket']);
  for (const part of parts) {
    if (recorder.events.some((event) => /^error|usable/.test(event))) break;
    recorder.receive(part);
  }
  if (!recorder.events.some((event) => /^error|usable/.test(event))) recorder.codec.onEnd();
  // Whether bytes behind a response come with it or after it is told by who is asked, not by what was answered.
  return recorder.events.filter((event) => !/^error 0 |usable/.test(event));
}

/** As in Envoy, two things depend on what came in one read: which of two errors is named, and what is lost with a broken chunk. */
function comparable(events: readonly string[]): string[] {
  const error = events.findIndex((event) => event.startsWith('error '));
  return events
    .filter((event, i) => !(event.startsWith('data ') && i === error - 1))
    .map((event) => event.replace(/http1\.(codec_error|invalid_characters) .*/, 'malformed'));
}

/** An end, an error or a reset ends a message, and nothing but another message follows. */
function judge(events: readonly string[], bytes: string): void {
  const errors = events.filter((event) => event.startsWith('error '));
  assert.ok(errors.length <= 1, bytes);
  const error = events.findIndex((event) => event.startsWith('error '));
  if (error >= 0) assert.ok(error >= events.length - 2, `${bytes}: ${events}`);
}

test(`damaged requests are judged the same wherever they are split (SEED=${seed})`, () => {
  let taken = 0;
  for (let n = 0; n < 4000; n++) {
    const bytes = mutate(requests[random(requests.length)]!);
    const whole = serve([bytes]);
    judge(whole, bytes);
    if (whole.includes('end')) taken++;
    assert.deepEqual(comparable(serve(splits(bytes))), comparable(whole), JSON.stringify(bytes));
  }
  assert.ok(
    taken > 500 && taken < 3500,
    `${taken} of 4000 were taken: the mutations are too weak or too strong`,
  );
});

test(`damaged responses are judged the same wherever they are split (SEED=${seed})`, () => {
  for (let n = 0; n < 4000; n++) {
    const bytes = mutate(responses[random(responses.length)]!);
    const whole = ask([bytes]);
    judge(whole, bytes);
    assert.deepEqual(comparable(ask(splits(bytes))), comparable(whole), JSON.stringify(bytes));
  }
});
