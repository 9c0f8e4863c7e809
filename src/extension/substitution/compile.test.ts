import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { test } from 'node:test';
import { parse } from 'yaml';
import { HeaderMap } from '#http/header-map.ts';
import { AccessLogType, type FormatContext } from '../formatter.ts';
import { ResponseFlag } from '../response-flag.ts';
import type { ConnectionInfo, StreamInfo, UpstreamInfo } from '../stream-info.ts';
import {
  compileFormat,
  compileJsonFormat,
  formatProblem,
  type JsonFormat,
  jsonFormatProblems,
} from './compile.ts';

const golden = new URL('../../../test/golden/09-access-log/', import.meta.url);
const lines = (name: string): string[] => readFileSync(new URL(name, golden), 'utf8').trimEnd().split('\n');

type Fields<T> = { -readonly [K in keyof T]?: T[K] };

function context(
  stream: Fields<StreamInfo> = {},
  connection: Fields<ConnectionInfo> = {},
  upstream: Fields<UpstreamInfo> = {},
): FormatContext {
  const info = {
    startTime: 1795255132236.525,
    startMs: 1000,
    endMs: 1001.5,
    flags: 0,
    details: '',
    responseCode: 0,
    protocol: '',
    routeName: '',
    virtualHostName: '',
    virtualClusterName: '',
    requestId: '',
    remoteAddress: '127.0.0.1:36366',
    bytesReceived: 0,
    bytesSent: 0,
    localReplyBody: '',
    customFlags: '',
    traceId: '',
    spanId: '',
    connection: {
      id: 1,
      localAddress: '127.0.0.1:21100',
      directLocalAddress: '127.0.0.1:21100',
      directRemoteAddress: '127.0.0.1:36366',
      detectedCloseType: 'Normal',
      startMs: 900,
      handshakeEndMs: 0,
      tls: undefined,
      ...connection,
    },
    upstream: {
      detectedCloseType: 'Normal',
      transportFailureReason: '',
      hostAddress: '',
      hostname: '',
      localAddress: '',
      connectionId: 0,
      ...upstream,
    },
    ...stream,
  } as unknown as StreamInfo;
  return {
    info,
    requestHeaders: undefined,
    responseHeaders: undefined,
    responseTrailers: undefined,
    logType: AccessLogType.DownstreamEnd,
  };
}

/** The first request of the recording `h1`, as the proxy knew it. */
function recordedRequest(): FormatContext {
  const request = new HeaderMap();
  request.method = 'GET';
  request.scheme = 'http';
  request.authority = 'example.com';
  request.path = '/p?q=1';
  request.list.push('x-abc', 'abcdef', 'x-dup', '1', 'x-dup', '2', 'x-forwarded-proto', 'http');
  request.list.push(
    'x-request-id',
    '7a8a652d-641e-453a-ac90-b8b90a9f5e47',
    'x-envoy-expected-rq-timeout-ms',
    '15000',
  );
  const response = new HeaderMap();
  response.status = 200;
  response.list.push('content-type', 'text/plain', 'grpc-status', '3', 'content-length', '3');
  response.list.push(
    'x-envoy-upstream-service-time',
    '0',
    'date',
    'Sat, 21 Nov 2026 09:58:52 GMT',
    'server',
    'envoy',
  );
  const it = context(
    {
      responseCode: 200,
      details: 'via_upstream',
      bytesSent: 3,
      protocol: 'HTTP/1.1',
      routeName: 'the-route',
      requestId: '7a8a652d-641e-453a-ac90-b8b90a9f5e47',
      attemptCount: 1,
      lastDownstreamRxMs: 1000.1,
      lastDownstreamTxMs: 1001.3,
      bytes: {
        wireBytesSent: 169,
        wireBytesReceived: 77,
        headerBytesSent: 147,
        headerBytesReceived: 50,
        decompressedHeaderBytesSent: 147,
        decompressedHeaderBytesReceived: 50,
      },
      routeMetadata: { ns: { num: 5, str: 's', obj: { a: [1, 'b'] } } },
    },
    {},
    {
      clusterName: 'up',
      clusterStatName: 'up',
      hostAddress: '127.0.0.1:21201',
      localAddress: '127.0.0.1:33784',
      connectionId: 2,
      protocol: 'HTTP/1.1',
      firstRxByteMs: 1001.24500001,
      lastTxByteMs: 1000.5,
      bytes: {
        wireBytesSent: 193,
        wireBytesReceived: 83,
        headerBytesSent: 170,
        headerBytesReceived: 58,
        decompressedHeaderBytesSent: 170,
        decompressedHeaderBytesReceived: 58,
      },
    },
  );
  return { ...it, requestHeaders: request, responseHeaders: response };
}

const varies = /TIME|UNIQUE_ID/;

test('text operators give what Envoy gave', () => {
  const recorded = lines('h1-text.log').slice(0, 112);
  const seen = new Set<string>();
  for (const line of recorded) {
    const [operators = '', expected = ''] = line.split(' => ');
    if (operators === '') continue;
    seen.add(operators);
    const made = compileFormat(operators).format(recordedRequest());
    if (varies.test(operators) && !operators.startsWith('%START_TIME')) continue;
    if (operators.startsWith('%START_TIME_LOCAL')) continue;
    assert.equal(made, expected === 'vm' ? hostname() : expected, operators);
  }
  for (const operators of lines('operators-accepted.txt')) assert.ok(seen.has(operators), operators);
});

interface Recorded {
  readonly static_resources: { readonly listeners: readonly { filter_chains: { filters: Filter[] }[] }[] };
}
interface Filter {
  readonly typed_config: {
    readonly access_log: readonly {
      readonly typed_config: {
        readonly path: string;
        readonly log_format?: { readonly json_format?: JsonFormat; readonly omit_empty_values?: boolean };
      };
    }[];
  };
}

function recordedFormat(path: string) {
  const config = parse(readFileSync(new URL('envoy.yaml', golden), 'utf8')) as Recorded;
  for (const listener of config.static_resources.listeners)
    for (const log of listener.filter_chains[0]!.filters[0]!.typed_config.access_log)
      if (log.typed_config.path === path) return log.typed_config.log_format!;
  throw new Error(path);
}

for (const name of ['h1-json.log', 'h1-typed-json-omit-empty.log', 'h1-sorted.log']) {
  test(`JSON comes out as recorded in ${name}`, () => {
    const { json_format, omit_empty_values } = recordedFormat(name);
    assert.deepEqual(jsonFormatProblems(json_format), []);
    const formatter = compileJsonFormat(json_format!, { omitEmptyValues: omit_empty_values ?? false });
    const made = formatter.format(recordedRequest());
    assert.ok(made.endsWith('}\n'));
    const hide = (line: string) =>
      line
        .replace(/("%(?:EMIT_TIME|START_TIME_LOCAL|UNIQUE_ID)%"):"[^"]*"/g, '$1:"..."')
        .replace(/"%HOSTNAME%":"[^"]*"/, '"%HOSTNAME%":"..."');
    assert.equal(hide(made.trimEnd()), hide(lines(name)[0]!));
  });
}

test('operators that Envoy refuses are refused in its words', () => {
  for (const line of lines('operators-rejected.txt')) {
    const [, operators, words] = /^(.*?) : .*error initializing configuration 'e.yaml': (.*)$/.exec(line)!;
    assert.equal(formatProblem(operators ?? ''), words, operators ?? line);
  }
});

const refused: [string, string][] = [
  ['a %', "Incorrect configuration: a %. Couldn't find valid command at position 2"],
  ['%REQ(A)x%', "Incorrect configuration: %REQ(A)x%. Couldn't find valid command at position 0"],
  ['%REQ%', 'REQ requires parameters'],
  ['%REQ(A?B?C)%', 'More than 1 alternative header specified in token: A?B?C'],
  ['%TRACE_ID:3%', 'TRACE_ID does not take any parameters or length'],
  ['%RESPONSE_CODE(1)%', 'RESPONSE_CODE does not take any parameters or length'],
  ['%METADATA(X:a)%', 'X is not supported type of metadata'],
  ['%GRPC_STATUS(X)%', 'GrpcStatusFormatter only supports CAMEL_STRING, SNAKE_STRING or NUMBER. Got: X'],
  ['%PATH(X)%', "Invalid PATH option: 'X', only 'WQ'/'NQ' are allowed"],
  ['%COALESCE({"operators":[]})%', "COALESCE: 'operators' array must not be empty"],
  ['%COALESCE({})%', "COALESCE: JSON configuration must contain 'operators' array"],
  [
    '%COALESCE({"operators":[{"command":"REQ","param":"a","max_length":0}]})%',
    "COALESCE: failed to parse operator at index 0: 'max_length' must be a positive integer",
  ],
  ['%COALESCE({"operators":["X"]})%', "COALESCE: failed to parse operator at index 0: unknown command: 'X'"],
  [
    '%REQ(A):18446744073709551616%',
    "Incorrect configuration: %REQ(A):18446744073709551616%. Couldn't find valid command at position 0",
  ],
  ['%REQ(a:b)%', 'Invalid header configuration. Format string contains invalid characters.'],
  ['%TRAILER(ä)%', 'Invalid header configuration. Format string contains invalid characters.'],
  ['%START_TIME(%s):3%', 'START_TIME does not allow length to be specified.'],
  ['%CLUSTER_METADATA(a):3%', 'CLUSTER_METADATA does not allow length to be specified.'],
  ['%RESPONSE_CODE_DETAILS:3%', 'RESPONSE_CODE_DETAILS does not allow length to be specified.'],
  ['%COMMON_DURATION(x):3%', 'COMMON_DURATION does not allow length to be specified.'],
  ['%COMMON_DURATION(x)%', 'Invalid common duration configuration: x.'],
  ['%COMMON_DURATION(a:b:s)%', 'Invalid common duration precision: s.'],
  [
    '%REQUESTED_SERVER_NAME(SNI_ONLY:X)%',
    "Invalid REQUESTED_SERVER_NAME option: 'X', only 'ORIG_OR_HOST'/'HOST'/'ORIG' are allowed",
  ],
  [
    '%FILTER_STATE(a:PLAIN:b)%',
    'Invalid filter state serialize type, FIELD should be used with the field name.',
  ],
];
for (const [text, problem] of refused)
  test(`refuses ${text} as Envoy does`, () => assert.equal(formatProblem(text), problem));

function headers(list: string[], status = 0): HeaderMap {
  const map = new HeaderMap();
  map.status = status;
  map.list.push(...list);
  return map;
}

const texts: [string, FormatContext, string][] = [
  [
    '%RESPONSE_FLAGS%',
    context({ protocol: 'HTTP/1.1', flags: (1 << ResponseFlag.UpstreamConnectionFailure) | (1 << 15) }),
    'URX,UF',
  ],
  [
    '%RESPONSE_FLAGS%',
    context({ flags: (1 << ResponseFlag.UpstreamConnectionFailure) | (1 << 15) }),
    'UF,URX',
  ],
  ['%RESPONSE_FLAGS_LONG%', context({ flags: 1 << ResponseFlag.NoRouteFound }), 'NoRouteFound'],
  ['%RESPONSE_CODE_DETAILS%', context({ details: 'a b' }), 'a_b'],
  ['%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%', context({ remoteAddress: '[::1]:80' }), '::1'],
  ['%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(16)%', context({ remoteAddress: '10.1.2.3:80' }), '10.1.0.0/16'],
  ['%DOWNSTREAM_REMOTE_PORT%', context({ remoteAddress: '/tmp/x' }), ''],
  [
    '%DYNAMIC_METADATA(a:b)%',
    context({ dynamicMetadata: { a: { b: { z: 1, c: 'x' } } } }),
    '{"c":"x","z":1}',
  ],
  ['%DYNAMIC_METADATA(a:b):2%', context({ dynamicMetadata: { a: { b: 'text' } } }), 'te'],
  [
    '%FILTER_STATE(k)% %FILTER_STATE(k:PLAIN)% %FILTER_STATE(k:FIELD:f)%',
    context({
      filterState: new Map([
        ['k', { text: 'v', typed: 'v', field: (name: string) => (name === 'f' ? 7 : undefined) }],
      ]),
    }),
    '"v" v 7',
  ],
  [
    '%GRPC_STATUS% %GRPC_STATUS(SNAKE_STRING)% %GRPC_STATUS_NUMBER%',
    {
      ...context({ responseCode: 200 }),
      requestHeaders: headers(['content-type', 'application/grpc']),
      responseTrailers: headers(['grpc-status', '4']),
    },
    'DeadlineExceeded DEADLINE_EXCEEDED 4',
  ],
  [
    '%COALESCE({"operators":["REQUESTED_SERVER_NAME",{"command":"REQ","param":"x","max_length":2}]})%',
    { ...context({}, { requestedServerName: '' }), requestHeaders: headers(['x', 'abc']) },
    'ab',
  ],
  [
    '%PATH%%QUERY_PARAM(b)%',
    { ...context(), requestHeaders: Object.assign(headers([]), { path: '/a?b=1' }) },
    '/a?b=11',
  ],
  ['grüße', context(), Buffer.from('grüße').toString('latin1')],
];
for (const [text, from, expected] of texts)
  test(`${text} is ${expected}`, () => assert.equal(compileFormat(text).format(from), expected));

test('values that are missing are a dash, or nothing when so asked', () => {
  assert.equal(compileFormat('[%REQ(x)%]').format(context()), '[-]');
  assert.equal(compileFormat('[%REQ(x)%]', { omitEmptyValues: true }).format(context()), '[]');
});

test('commands of formatter extensions exist only with the extension', () => {
  const from = { ...context(), requestHeaders: Object.assign(headers([]), { path: '/a?b=1' }) };
  assert.equal(
    formatProblem('%REQ_WITHOUT_QUERY(:PATH)%'),
    'Not supported field in StreamInfo: REQ_WITHOUT_QUERY',
  );
  const extensions = ['REQ_WITHOUT_QUERY'];
  assert.equal(compileFormat('%REQ_WITHOUT_QUERY(:PATH)%', { extensions }).format(from), '/a');
});

// What Envoy prints for `[%QUERY_PARAM(a)%] [%QUERY_PARAM(b)%] [%QUERY_PARAM(c)%] [%QUERY_PARAMS(DECODED)%] [%QUERY_PARAMS%]`.
const queries: readonly (readonly [string, string])[] = [
  ['/x', '[-] [-] [-] [-] [-]'],
  ['/x?', '[-] [-] [-] [] []'],
  ['/x?a=%41&b=%20c&a=2&c', '[A] [ c] [] [a=A&b=%20c&a=2&c] [a=%41&b=%20c&a=2&c]'],
  ['/x?d=x+y&b=%zz&=1&c=', '[-] [%zz] [] [d=x+y&b=zz&=1&c=] [d=x+y&b=%zz&=1&c=]'],
  ['/x?a%41=%26%3D&a=b=c&&', '[b=c] [-] [-] [aA=&=&a=b=c&&] [a%41=%26%3D&a=b=c&&]'],
  ['/x?a=%21%7E%7F%1F%2', '[!~\x7f\x1f%2] [-] [-] [a=!~%7F%1F%2] [a=%21%7E%7F%1F%2]'],
];
for (const [path, printed] of queries) {
  test(`the query of ${path}`, () => {
    const headers = new HeaderMap();
    headers.path = path;
    const format =
      '[%QUERY_PARAM(a)%] [%QUERY_PARAM(b)%] [%QUERY_PARAM(c)%] [%QUERY_PARAMS(DECODED)%] [%QUERY_PARAMS%]';
    assert.equal(compileFormat(format).format({ ...context(), requestHeaders: headers }), printed);
  });
}
