import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { ConfigError } from '#config/config-error.ts';
import { ParseContext } from '#config/parse-context.ts';
import { HeaderMap } from '#http/header-map.ts';
import { create } from '#schema/create.ts';
import type { AccessLogFilterInit } from '#schema/messages/envoy/config/accesslog/v3.ts';
import { StatsStore } from '#stats/store.ts';
import { AccessLogFiles } from './access-log-files.ts';
import { compileAccessLogFilter, parseAccessLogFilter } from './access-log-filter-config.ts';
import { AccessLogType, type FormatContext } from './formatter.ts';
import { ResponseFlag } from './response-flag.ts';
import { Runtime } from './runtime.ts';
import type { StreamInfo } from './stream-info.ts';

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'access-log-'));
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}

const closed = (files: AccessLogFiles) => new Promise<void>((resolve) => files.close(resolve));
const slow = { intervalMs: 1_000_000, minBytes: 65_536 };

test('lines are kept until there are enough of them or the log is closed', async (t) => {
  const path = join(folder(t), 'log');
  const store = new StatsStore();
  const files = new AccessLogFiles(store, { ...slow, minBytes: 8 });
  const file = files.file(path);
  file.write('one\n');
  assert.equal(readFileSync(path, 'latin1'), '');
  assert.equal(store.scope('filesystem').gauge('write_total_buffered').value, 4);
  file.write('two\xe4\n');
  file.write('three\n');
  await closed(files);
  assert.equal(readFileSync(path, 'latin1'), 'one\ntwo\xe4\nthree\n');
  assert.equal(store.scope('filesystem').counter('write_buffered').value, 3);
  assert.equal(store.scope('filesystem').counter('write_completed').value, 2);
  assert.equal(store.scope('filesystem').gauge('write_total_buffered').value, 0);
});

test('a file that was moved away gets a successor when logs are reopened', async (t) => {
  const path = join(folder(t), 'log');
  const files = new AccessLogFiles(new StatsStore(), slow);
  files.file(path).write('before\n');
  files.file(path).flush();
  renameSync(path, `${path}.1`);
  files.reopen();
  files.file(path).write('after\n');
  await closed(files);
  assert.equal(readFileSync(`${path}.1`, 'latin1'), 'before\n');
  assert.equal(readFileSync(path, 'latin1'), 'after\n');
});

test('a file that cannot be opened loses its lines and is counted', async (t) => {
  const store = new StatsStore();
  const files = new AccessLogFiles(store, slow);
  files.file(join(folder(t), 'none', 'log')).write('lost\n');
  files.reopen();
  await closed(files);
  assert.equal(store.scope('filesystem').counter('write_failed').value, 1);
  assert.equal(store.scope('filesystem').counter('reopen_failed').value, 1);
});

type Change = Partial<StreamInfo> & { headers?: string[]; response?: string[]; logType?: AccessLogType };

function context({ headers, response, logType, ...info }: Change): FormatContext {
  const map = (list: string[] | undefined) => {
    const made = new HeaderMap();
    made.list.push(...(list ?? []));
    return made;
  };
  return {
    info: {
      responseCode: 200,
      flags: 0,
      startMs: 0,
      endMs: 10,
      requestId: '',
      isTraced: false,
      ...info,
    } as unknown as StreamInfo,
    requestHeaders: map(headers),
    responseHeaders: map(response),
    responseTrailers: undefined,
    logType: logType ?? AccessLogType.DownstreamEnd,
  };
}

const code = (op: 'EQ' | 'GE' | 'LE' | 'NE', default_value: number): AccessLogFilterInit => ({
  status_code_filter: { comparison: { op, value: { default_value, runtime_key: 'k' } } },
});
const any = { filter: 'f', path: [{ key: 'k' }], value: { string_match: { exact: 'v' } } };

const filters: [string, AccessLogFilterInit, Change[], Change[]][] = [
  ['an equal status', code('EQ', 404), [{ responseCode: 404 }], [{}]],
  ['a status from', code('GE', 500), [{ responseCode: 503 }, { responseCode: 500 }], [{}]],
  ['a status up to', code('LE', 200), [{}, { responseCode: 0 }], [{ responseCode: 201 }]],
  ['another status', code('NE', 200), [{ responseCode: 404 }], [{}]],
  [
    'a duration',
    { duration_filter: { comparison: { op: 'GE', value: { default_value: 10, runtime_key: 'k' } } } },
    [{}],
    [{ endMs: 9.9 }],
  ],
  ['no health check', { not_health_check_filter: {} }, [{}], [{ isHealthCheck: true }]],
  ['a traced request', { traceable_filter: {} }, [{ isTraced: true }], [{}]],
  [
    'a header',
    { header_filter: { header: { name: 'X-A', present_match: true } } },
    [{ headers: ['x-a', '1'] }],
    [{}],
  ],
  [
    'a response flag',
    { response_flag_filter: { flags: ['UF', 'NR'] } },
    [{ flags: 1 << ResponseFlag.NoRouteFound }],
    [{}, { flags: 1 << ResponseFlag.DelayInjected }],
  ],
  ['any response flag', { response_flag_filter: {} }, [{ flags: 1 }], [{}]],
  [
    'a gRPC status',
    { grpc_status_filter: { statuses: ['NOT_FOUND'] } },
    [{ response: ['grpc-status', '5'] }],
    [{ response: ['grpc-status', '0'] }, {}],
  ],
  [
    'no gRPC status of these',
    { grpc_status_filter: { statuses: ['OK'], exclude: true } },
    [{ response: ['grpc-status', '5'] }],
    [{ response: ['grpc-status', '0'] }],
  ],
  [
    'metadata',
    { metadata_filter: { matcher: any, match_if_key_not_found: false } },
    [{ dynamicMetadata: { f: { k: 'v' } } }],
    [{}, { dynamicMetadata: { f: { k: 'w' } } }],
  ],
  ['missing metadata', { metadata_filter: { matcher: any } }, [{}], [{ dynamicMetadata: { f: { k: 'w' } } }]],
  [
    'a type of entry',
    { log_type_filter: { types: ['DownstreamEnd'] } },
    [{}],
    [{ logType: AccessLogType.DownstreamStart }],
  ],
  [
    'both',
    { and_filter: { filters: [code('GE', 400), { not_health_check_filter: {} }] } },
    [{ responseCode: 400 }],
    [{}, { responseCode: 400, isHealthCheck: true }],
  ],
  [
    'either',
    { or_filter: { filters: [code('GE', 400), { traceable_filter: {} }] } },
    [{ responseCode: 400 }, { isTraced: true }],
    [{}],
  ],
  [
    'a share of the request ids',
    { runtime_filter: { runtime_key: 'k', percent_sampled: { numerator: 30 } } },
    [{ requestId: '0000001d-0' }],
    [{ requestId: '0000001e-0' }],
  ],
];

for (const [name, init, passing, failing] of filters) {
  test(`a filter lets through ${name}`, () => {
    const problems: ConfigError[] = [];
    const message = create('envoy.config.accesslog.v3.AccessLogFilter', init);
    const data = parseAccessLogFilter(message, new ParseContext('filter', problems));
    assert.deepEqual(problems, []);
    const filter = compileAccessLogFilter(structuredClone(data), new Runtime());
    for (const it of passing) assert.equal(filter.passes(context(it)), true, JSON.stringify(it));
    for (const it of failing) assert.equal(filter.passes(context(it)), false, JSON.stringify(it));
  });
}

test('an unknown response flag is refused where it stands', () => {
  const problems: ConfigError[] = [];
  const message = create('envoy.config.accesslog.v3.AccessLogFilter', {
    and_filter: { filters: [{ response_flag_filter: { flags: ['UF', 'XX'] } }] },
  });
  parseAccessLogFilter(message, new ParseContext('filter', problems));
  assert.deepEqual(
    problems.map((it) => it.message),
    ['filter.and_filter.filters[0].response_flag_filter.flags[1]: "XX" is no response flag'],
  );
});
