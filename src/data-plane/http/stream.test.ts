import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Http1Upstream } from '#testing/http1-upstream.ts';
import { frontProxyYaml, startProxy } from '#testing/start-proxy.ts';

/** Filters that wait, collect, change and answer: each as small as its name. */
const filters = `
const soon = (then) => setImmediate(then);
const makers = {
  'mark': () => ({
    decodeHeaders(stream, headers) { headers.add('x-mark', 'decoded'); return 0; },
    encodeHeaders(stream, headers) { headers.add('x-mark', 'encoded'); return 0; },
  }),
  'later': () => ({
    decodeHeaders(stream, headers) {
      soon(() => { headers.add('x-later', '1'); stream.continueDecoding(this); });
      return 1;
    },
    decodeData() { return 1; },
  }),
  'all-later': () => ({
    decodeHeaders(stream) { soon(() => soon(() => stream.continueDecoding(this))); return 2; },
  }),
  'collect': () => ({
    bytes: 0,
    decodeHeaders(stream, headers, end) { return end ? 0 : 1; },
    decodeData(stream, data, end) {
      this.bytes += data.length;
      if (!end) return 1;
      stream.requestHeaders.add('x-collected', String(this.bytes));
      return 0;
    },
  }),
  'upper': () => ({
    decodeData(stream, data) { stream.replaceData(Buffer.from(data.toString('latin1').toUpperCase())); return 0; },
  }),
  'small': () => ({ decodeHeaders(stream) { stream.decoderBufferLimit = 8; return 0; } }),
  'collect-response': () => ({
    bytes: 0,
    encodeHeaders(stream, headers, end) { return end ? 0 : 1; },
    encodeData(stream, data, end) {
      this.bytes += data.length;
      if (!end) return 1;
      stream.responseHeaders.add('x-collected', String(this.bytes));
      return 0;
    },
  }),
  'response-later': () => ({
    encodeHeaders(stream) { soon(() => stream.continueEncoding(this)); return 2; },
  }),
  'deny': () => ({
    decodeHeaders(stream) { stream.sendLocalReply(403, 'no', 'denied'); return 1; },
  }),
};
export const extensions = [{
  kind: 'http_filter', name: 'test', type: 'envoy.extensions.filters.http.lua.v3.Lua',
  parse: (message) => message.stat_prefix,
  prepare: (name) => makers[name],
}];`;
const extensionModules = [`data:text/javascript,${encodeURIComponent(filters)}`];

/** The configuration of a filter that is not built in, with room for a name. */
function named(filter: string) {
  const type = 'type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua';
  return { name: filter, typed_config: { '@type': type, stat_prefix: filter } };
}

const cases = [
  { name: 'a filter that waits for its answer', chain: ['later', 'mark'] },
  { name: 'a filter that gets nothing until it continues', chain: ['all-later', 'mark'] },
  { name: 'a filter that collects the body first', chain: ['collect', 'mark'] },
  { name: 'two filters that hold the same request', chain: ['collect', 'all-later', 'mark'] },
  {
    name: 'one that waits behind one that collects, and another behind',
    chain: ['later', 'collect', 'all-later', 'mark'],
  },
  { name: 'a response that waits', chain: ['response-later', 'mark'] },
  { name: 'a response that is collected, then waits', chain: ['response-later', 'collect-response', 'mark'] },
];

for (const { name, chain } of cases) {
  for (const body of ['', 'hello']) {
    test(`${name}: ${body === '' ? 'no body' : 'with a body'}`, async (t) => {
      const upstream = await new Http1Upstream().answer('/', { body: 'answered' }).start(t);
      const yaml = frontProxyYaml({ to: upstream.port, httpFilters: chain.map(named) });
      const proxy = await startProxy(t, yaml, { extensionModules });
      const answer = await proxy.request('/', body === '' ? {} : { method: 'POST', body });
      assert.deepEqual([answer.status, answer.body, answer.headers['x-mark']], [200, 'answered', 'encoded']);
      const [seen] = upstream.requests;
      assert.deepEqual([seen?.body, seen?.headers['x-mark']], [body, 'decoded']);
      if (chain.includes('collect') && body !== '') assert.equal(seen?.headers['x-collected'], '5');
      if (chain.includes('collect-response')) assert.equal(answer.headers['x-collected'], '8');
    });
  }
}

async function proxyWith(t: Parameters<typeof startProxy>[0], chain: readonly string[]) {
  const upstream = await new Http1Upstream().start(t);
  const yaml = frontProxyYaml({ to: upstream.port, httpFilters: chain.map(named) });
  return { upstream, proxy: await startProxy(t, yaml, { extensionModules }) };
}

test('a filter changes data on its way', async (t) => {
  const { upstream, proxy } = await proxyWith(t, ['upper']);
  await proxy.request('/', { method: 'POST', body: 'hello' });
  assert.equal(upstream.requests[0]?.body, 'HELLO');
});

test('a body beyond the limit of who holds it is 413', async (t) => {
  const { upstream, proxy } = await proxyWith(t, ['small', 'all-later']);
  const answer = await proxy.request('/', { method: 'POST', body: 'nine bytes' });
  assert.deepEqual([answer.status, answer.body], [413, 'Payload Too Large']);
  assert.equal(upstream.requests.length, 0);
});

test('a local reply passes the encode callbacks of the whole chain', async (t) => {
  const { upstream, proxy } = await proxyWith(t, ['mark', 'deny', 'collect-response']);
  const answer = await proxy.get('/');
  assert.deepEqual(
    [answer.status, answer.body, answer.headers['x-mark'], answer.headers['x-collected']],
    [403, 'no', 'encoded', '2'],
  );
  assert.equal(upstream.requests.length, 0);
});
