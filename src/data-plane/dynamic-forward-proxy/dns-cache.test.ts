import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ParseContext } from '#config/parse-context.ts';
import { create } from '#schema/create.ts';
import { StatsStore } from '#stats/store.ts';
import { ManualClock } from '#testing/manual-clock.ts';
import { DnsError } from '../upstream/dns-resolver.ts';
import { DnsCache } from './dns-cache.ts';
import { parseDnsCache } from './dns-cache-config.ts';
import { DnsLoad, WorkerDnsCache } from './worker-dns-cache.ts';

const type = 'envoy.extensions.common.dynamic_forward_proxy.v3.DnsCacheConfig';

type Answer = readonly string[] | DnsError | 'never';

function setUp(fields: object, answers: readonly Answer[], ttlMs = 10_000) {
  const clock = new ManualClock();
  const store = new StatsStore();
  const config = parseDnsCache(create(type, { name: 'c', ...fields }), new ParseContext('', []));
  const asked: string[] = [];
  const cache = new DnsCache(config, 1, store.root, clock, async (name) => {
    const answer = answers[Math.min(asked.length, answers.length - 1)]!;
    asked.push(name);
    if (answer === 'never') return new Promise(() => {});
    if (answer instanceof DnsError) throw answer;
    return { addresses: answer, ttlMs };
  });
  const told: string[] = [];
  cache.listen((name, host) =>
    told.push(host === undefined ? `${name} gone` : `${name} ${host.ip || host.details}`),
  );
  const turn = async (ms: number) => {
    clock.advance(ms);
    await new Promise((resolve) => setImmediate(resolve));
  };
  const stat = (name: string) =>
    [...store.scopes()]
      .flatMap((it) => [...it.metrics()])
      .find((it) => it.name.endsWith(name)) as unknown as {
      value: number;
    };
  return { cache, asked, told, turn, stat };
}

const missing = new DnsError('a', 'ENOTFOUND', true);
const broken = new DnsError('a', 'ESERVFAIL', false);

test('a host is asked for once, tells its changes and keeps what it had', async () => {
  const { cache, asked, told, turn, stat } = setUp({}, [
    ['1.1.1.1'],
    broken,
    missing,
    ['1.1.1.1'],
    ['2.2.2.2'],
  ]);
  cache.load('a:80');
  cache.load('a:80');
  await turn(0);
  assert.deepEqual(told, ['a:80 1.1.1.1']);
  await turn(9_999);
  assert.equal(asked.length, 1);
  await turn(1);
  assert.equal(asked.length, 2);
  for (const wait of [60_000, 60_000, 10_000]) await turn(wait);
  assert.deepEqual(asked, ['a', 'a', 'a', 'a', 'a']);
  assert.deepEqual(told, ['a:80 1.1.1.1', 'a:80 2.2.2.2']);
  assert.equal(stat('dns_query_failure').value, 1);
  assert.equal(stat('dns_query_success').value, 4);
  assert.equal(stat('host_address_changed').value, 2);
});

test('short lives count as the least that is configured', async () => {
  const { cache, asked, turn } = setUp(
    { dns_min_refresh_rate: { seconds: 3, nanos: 0 } },
    [['1.1.1.1']],
    1000,
  );
  cache.load('a:80');
  await turn(0);
  await turn(2_999);
  assert.equal(asked.length, 1);
  await turn(1);
  assert.equal(asked.length, 2);
});

test('a host that nobody uses leaves', async () => {
  const { cache, told, turn, stat } = setUp({ host_ttl: { seconds: 15, nanos: 0 } }, [['1.1.1.1']]);
  cache.load('a:80');
  await turn(0);
  await turn(10_000);
  cache.touch('a:80');
  await turn(10_000);
  assert.deepEqual(told, ['a:80 1.1.1.1']);
  await turn(10_000);
  assert.deepEqual(told, ['a:80 1.1.1.1', 'a:80 gone']);
  assert.equal(stat('num_hosts').value, 0);
  assert.equal(stat('host_removed').value, 1);
});

test('says why there is no address', async () => {
  const { cache, told, turn, stat } = setUp({ dns_query_timeout: { seconds: 1, nanos: 0 } }, [
    missing,
    broken,
    'never',
    [],
  ]);
  for (const name of ['a:80', 'b:80', 'c:80', 'd:80']) cache.load(name);
  await turn(0);
  await turn(1000);
  assert.deepEqual(told.sort(), [
    'a:80 dns_resolution_failure{cares_norecords:Domain_name_not_found}',
    'b:80 dns_resolution_failure{cares_failure:DNS_server_returned_general_failure}',
    'c:80 dns_resolution_failure{resolve_timeout}',
    'd:80 dns_resolution_failure{cares_success:Successful_completion}',
  ]);
  assert.equal(stat('dns_query_timeout').value, 1);
});

test('leaves out addresses that are not wanted', async () => {
  const ranges = [{ address_prefix: '10.0.0.0', prefix_len: 8 }];
  const { cache, told, turn, stat } = setUp({ resolved_address_filter: { ranges, invert_match: false } }, [
    ['10.1.1.1', '1.1.1.1', '10.2.2.2'],
  ]);
  cache.load('a:80');
  await turn(0);
  assert.deepEqual(told, ['a:80 1.1.1.1']);
  assert.equal(stat('dns_address_filter_out').value, 2);
});

test('without refreshes of failures the next request asks again', async () => {
  const { cache, asked, told, turn } = setUp({ disable_dns_refresh_on_failure: true }, [broken, ['1.1.1.1']]);
  cache.load('a:80');
  await turn(0);
  await turn(1_000_000);
  assert.equal(asked.length, 1);
  cache.load('a:80');
  await turn(0);
  assert.equal(told.at(-1), 'a:80 1.1.1.1');
});

test('hosts of the configuration are asked for before anybody wants them', async () => {
  const { cache, turn } = setUp({ preresolve_hostnames: [{ address: 'a', port_value: 81 }] }, [['1.1.1.1']]);
  cache.start();
  await turn(0);
  assert.deepEqual(
    cache.known().map((it) => it.name),
    ['a:81'],
  );
});

test('requests of a worker wait together and are counted while they do', async () => {
  const { cache, asked, turn } = setUp(
    { dns_cache_circuit_breaker: { max_pending_requests: 2 }, max_hosts: 2 },
    [['1.1.1.1']],
  );
  const store = new StatsStore();
  const worker: WorkerDnsCache = new WorkerDnsCache(
    cache.config,
    cache.counts,
    0,
    store.root,
    (name) => cache.load(name),
    () => {},
  );
  cache.listen((name, host) => worker.set(name, host));
  const seen: string[] = [];
  const waiter = (id: string) => ({
    onDnsHost: ({ ip }: { ip: string }) => {
      worker.hold(-1);
      seen.push(`${id} ${ip}`);
    },
  });
  for (const id of ['one', 'two']) {
    assert.equal(worker.admits(), true);
    assert.equal(worker.find('a:80', waiter(id)), DnsLoad.Loading);
    worker.hold(1);
  }
  assert.equal(worker.admits(), false);
  await turn(0);
  assert.deepEqual(seen, ['one 1.1.1.1', 'two 1.1.1.1']);
  assert.deepEqual(asked, ['a']);
  assert.equal(worker.admits(), true);
  // The cache is full with two.
  cache.load('c:80');
  assert.equal(worker.find('b:80', waiter('three')), DnsLoad.HostOverflow);
  assert.equal(typeof worker.find('a:80', waiter('four')), 'object');
});
