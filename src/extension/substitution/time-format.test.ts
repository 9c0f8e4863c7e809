import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IsoTime, TimeFormat, timeFormatProblem } from './time-format.ts';

const time = Date.UTC(2026, 0, 4, 9, 5, 7) + 45.678;

const formats: [string, string][] = [
  ['%Y-%m-%dT%H:%M:%S%z', '2026-01-04T09:05:07+0000'],
  ['%s.%3f', `${Math.floor(time / 1000)}.045`],
  ['%s%6f%9f', `${Math.floor(time / 1000)}045678045678000`],
  ['%E4S %E*S %ES %E*f %E2f', '07.0456 07.045678 07 045678 04'],
  ['%Ez %Z', '+00:00 UTC'],
  ['%a %A %b %B %h', 'Sun Sunday Jan January Jan'],
  ['%c', 'Sun Jan  4 09:05:07 2026'],
  ['%D %F %T %R %r', '01/04/26 2026-01-04 09:05:07 09:05 09:05:07 AM'],
  ['%e|%k|%l|%I|%p|%y|%C', ' 4| 9| 9|09|AM|26|20'],
  ['%j %u %w %U %W %V %G %g', '004 7 0 01 00 01 2026 26'],
  ['100%% %n', '100% \n'],
];
for (const [format, expected] of formats) {
  test(`${format} is ${JSON.stringify(expected)}`, () => {
    const compiled = new TimeFormat(format, false);
    assert.equal(compiled.format(time), expected);
    compiled.format(time + 1000);
    assert.equal(compiled.format(time), expected);
  });
}

test('the default form has milliseconds', () => {
  const iso = new IsoTime();
  assert.equal(iso.format(time), '2026-01-04T09:05:07.045Z');
  assert.equal(iso.format(time + 1), '2026-01-04T09:05:07.046Z');
  assert.equal(iso.format(time + 1000), '2026-01-04T09:05:08.045Z');
});

test('a format with a line feed is refused', () => {
  assert.equal(timeFormatProblem('%Y%n'), 'Invalid header configuration. Format string contains newline.');
  assert.equal(timeFormatProblem('%Y'), undefined);
});
