import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { compileLogFormat, type LogRecord } from './log-format.ts';
import { componentNames, LogLevel, Logs, parseLogLevel } from './logger.ts';

const record: LogRecord = {
  timeMs: new Date(2026, 10, 21, 12, 6, 13, 169).getTime() + 0.5,
  elapsedMs: 0.334,
  level: LogLevel.Info,
  logger: 'main',
  message: 'it "starts"\n  now',
  tags: { ConnectionId: '2', StreamId: '7' },
  source: { file: 'src/data-plane/server.ts', line: 463, function: 'start' },
};
const ids = { threadId: 18046, processId: 18045 };

// As Envoy prints them for a message of that moment.
const printed = [
  { pattern: '%t|%P|%n|%l|%L', line: '18046|18045|main|info|I' },
  {
    pattern: '%a|%A|%b|%h|%B|%c|%C|%Y',
    line: 'Sat|Saturday|Nov|Nov|November|Sat Nov 21 12:06:13 2026|26|2026',
  },
  { pattern: '%D|%x|%m|%d|%H|%I|%M|%S', line: '11/21/26|11/21/26|11|21|12|12|06|13' },
  { pattern: '%e|%f|%F', line: '169|169500|169500000' },
  { pattern: '%p|%r|%R|%T|%X', line: 'PM|12:06:13 PM|12:06|12:06:13|12:06:13' },
  { pattern: '%i|%o|%u|%O', line: '334|0|334000|0' },
  { pattern: 'a%&b%3&|', line: 'ab   |' },
  {
    pattern: '%@|%s|%g|%#|%!',
    line: 'src/data-plane/server.ts:463|server.ts|src/data-plane/server.ts|463|start',
  },
  { pattern: '%^k%$|%8l|%-8l|%=8l|%3!l|%q|%%|100%', line: 'k|    info|info    |  info  |inf|%q|%|100' },
  { pattern: '%v', line: '[Tags: "ConnectionId":"2","StreamId":"7"] it "starts"\n  now' },
  { pattern: '%_', line: '[Tags: "ConnectionId":"2","StreamId":"7"] it "starts"\\n  now' },
  { pattern: '{"m":"%+"%*}', line: '{"m":"it "starts"\n  now","ConnectionId":"2","StreamId":"7"}' },
  {
    pattern: '"%j"',
    line: '"[Tags: \\"ConnectionId\\":\\"2\\",\\"StreamId\\":\\"7\\"] it \\"starts\\"\\n  now"',
  },
];

for (const { pattern, line } of printed) {
  test(`prints ${pattern}`, () => {
    assert.equal(compileLogFormat(pattern, false, ids).print(record), `${line}\n`);
  });
}

test('escapes the line when asked to', () => {
  const format = compileLogFormat('%+ é', true, ids);
  assert.equal(format.print(record), 'it \\"starts\\"\\n  now \\303\\251\n');
});

test('prints the time zone', () => {
  assert.match(compileLogFormat('%z', false, ids).print(record), /^[+-]\d\d:\d\d\n$/);
});

function setUp() {
  const lines: string[] = [];
  return { lines, logs: new Logs((line) => void lines.push(line)) };
}

test('the default line names its time, thread, level, component and source', () => {
  const { logs, lines } = setUp();
  logs.logger('upstream').warn('no host');
  assert.match(
    lines[0]!,
    /^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\]\[\d+\]\[warning\]\[upstream\] \[src\/base\/logger\.test\.ts:\d+\] no host\n$/,
  );
});

test('levels are by component and change while loggers are in use', () => {
  const { logs, lines } = setUp();
  logs.configure({
    level: LogLevel.Warning,
    componentLevels: { upstream: LogLevel.Trace },
    format: '%n %l %v',
  });
  const upstream = logs.logger('upstream');
  const router = logs.logger('router');
  upstream.trace('a');
  router.info('b');
  logs.set('router', LogLevel.Debug);
  router.debug('c');
  assert.ok(router.isDebug && !router.isTrace);
  logs.setAll(LogLevel.Off);
  upstream.critical('d');
  assert.deepEqual(lines, ['upstream trace a\n', 'router debug c\n']);
});

test('another thread can take over the levels', () => {
  const { logs } = setUp();
  logs.set('router', LogLevel.Debug);
  const other = setUp();
  other.logs.setLevels(structuredClone(logs.levels()));
  assert.equal(other.logs.logger('router').level, LogLevel.Debug);
  assert.equal(other.logs.level('upstream'), LogLevel.Info);
});

test('fine-grain levels belong to files', () => {
  const { logs, lines } = setUp();
  logs.configure({ level: LogLevel.Error, fineGrain: true, format: '%n %v' });
  const log = logs.logger('upstream');
  assert.deepEqual(logs.names(), ['src/base/logger.test.ts']);
  logs.set('src/base/logger.test.ts', LogLevel.Info);
  log.info('a');
  assert.deepEqual(lines, ['src/base/logger.test.ts a\n']);
});

test('writes to a file and opens it anew after rotation', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'logger-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'proxy.log');
  const logs = new Logs();
  logs.configure({ level: LogLevel.Info, format: '%v', path });
  const log = logs.logger('main');
  log.info('one');
  renameSync(path, `${path}.1`);
  log.info('two');
  logs.reopen();
  log.info('three');
  assert.equal(readFileSync(`${path}.1`, 'utf8'), 'one\ntwo\n');
  assert.equal(readFileSync(path, 'utf8'), 'three\n');
  logs.configure({ level: LogLevel.Info });
});

test('a log that cannot be opened is an error', () => {
  assert.throws(() => new Logs().configure({ level: LogLevel.Info, path: '/nonexistent/x/y.log' }), {
    code: 'ENOENT',
  });
});

test('knows the levels by name', () => {
  assert.equal(parseLogLevel('warn'), LogLevel.Warning);
  assert.equal(parseLogLevel('warning'), LogLevel.Warning);
  assert.equal(parseLogLevel('bogus'), undefined);
  assert.equal(componentNames.length, new Set(componentNames).size);
});
