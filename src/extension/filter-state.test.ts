import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ConfigError } from '#config/config-error.ts';
import { ParseContext } from '#config/parse-context.ts';
import { type FilterState, FilterStateValues, parseFilterStateValues } from './filter-state.ts';
import type { FormatContext } from './formatter.ts';

const value = (key: string, text: string, more: object = {}) => ({
  object_key: key,
  factory_key: '',
  read_only: false,
  shared_with_upstream: 'NONE',
  skip_if_empty: false,
  format_string: {
    text_format: text,
    omit_empty_values: false,
    content_type: '',
    formatters: [],
  },
  ...more,
});

function parse(...values: object[]) {
  const problems: ConfigError[] = [];
  const data = parseFilterStateValues(values as never, new ParseContext('list', problems));
  return { data, problems: problems.map((it) => it.message) };
}

function made(...values: object[]): FilterState {
  const { data, problems } = parse(...values);
  assert.deepEqual(problems, []);
  const state: FilterState = new Map();
  new FilterStateValues(data).update(state, {} as FormatContext);
  return state;
}

test('makes what the key or its factory says, of text that fits', () => {
  const state = made(
    value('envoy.tcp_proxy.cluster', 'blue'),
    value('mine', 'text', { factory_key: 'envoy.string' }),
    value('envoy.tcp_proxy.per_connection_idle_timeout_ms', '007'),
    value('envoy.tcp_proxy.disable_tunneling', 'maybe'),
    value('envoy.upstream.dynamic_port', '70000'),
    value('empty', '', { factory_key: 'envoy.string', skip_if_empty: true }),
    value('kept', '', { factory_key: 'envoy.string' }),
  );
  assert.deepEqual(
    [...state].map(([key, { text }]) => [key, text]),
    [
      ['envoy.tcp_proxy.cluster', 'blue'],
      ['mine', 'text'],
      ['envoy.tcp_proxy.per_connection_idle_timeout_ms', '7'],
      ['kept', ''],
    ],
  );
});

test('takes addresses apart', () => {
  const key = 'envoy.network.transport_socket.original_dst_address';
  const address = made(value(key, '[2001:db8::1]:80')).get(key);
  assert.equal(address?.field('ip'), '2001:db8::1');
  assert.equal(address?.field('port'), 80);
  assert.equal(made(value(key, 'host:80')).size, 0);
});

test('refuses keys that only Envoy makes', () => {
  const { problems } = parse(value('envoy.network.network_namespace', ''));
  assert.equal(problems.length, 1);
  assert.match(problems[0]!, /^list\[0\]\.object_key: .*not supported by chancery/);
});
