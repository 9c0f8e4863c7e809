// Queries through dns_filter of the real Envoy and of chancery: those that a table answers, and random ones made of them. Compared are
// the answers, the access logs and the counters. SEED=n plays another run.
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { freePorts } from '#testing/free-ports.ts';
import { mulberry32 } from '#testing/mulberry32.ts';
import { missing } from '#testing/peers.ts';
import { type ProxyKind, startProxyProcess } from '#testing/proxy-process.ts';

const seed = Number(process.env.SEED ?? 1);

const address = (port: number, ip = '127.0.0.1', protocol = 'TCP') => ({
  socket_address: { address: ip, port_value: port, protocol },
});
const domain = (name: string, endpoint: object, seconds?: number) => ({
  name,
  endpoint,
  ...(seconds === undefined ? {} : { answer_ttl: `${seconds}s` }),
});
const list = (...addresses: readonly string[]) => ({ address_list: { address: addresses } });

// Of names with several addresses Envoy picks one by chance for a service: here each has one.
const table = {
  virtual_domains: [
    domain('www.foo1.com', list('10.0.0.1', '10.0.0.2', '2001:8a:c1::2800:7'), 60),
    domain('www.foo1.com', list('10.0.0.3')),
    domain('WWW.Upper.com', list('10.0.1.1')),
    domain('*.wild.com', list('10.0.3.1'), 61),
    domain('*.deep.wild.com', list('10.0.3.2')),
    domain('single', list('10.9.9.9')),
    domain('www.cluster.com', { cluster_name: 'members' }, 77),
    domain('members', { cluster_name: 'members' }, 78),
    domain('no.cluster.com', { cluster_name: 'missing' }),
    domain('prime.srv.com', list('10.2.0.1'), 33),
    domain('second.srv.com', list('2001:db8::2')),
    domain('srv.com', {
      service_list: {
        services: [
          {
            service_name: 'ldap',
            protocol: { name: 'tcp' },
            ttl: '86400s',
            targets: [
              { host_name: 'prime.srv.com', priority: 10, weight: 30, port: 88 },
              { host_name: 'second.srv.com', priority: 11, weight: 31, port: 89 },
              { host_name: 'absent.srv.com', priority: 12, weight: 32, port: 90 },
            ],
          },
          {
            service_name: '_web',
            protocol: { number: 17 },
            ttl: '5s',
            targets: [{ cluster_name: 'one', weight: 2 }],
          },
        ],
      },
    }),
  ],
};

const names = [
  'www.foo1.com',
  'WWW.FOO1.com',
  'x.foo1.com',
  'www.upper.com',
  'WWW.Upper.com',
  'a.wild.com',
  'a.b.deep.wild.com',
  'wild.com',
  'single',
  'www.cluster.com',
  'members',
  'one',
  'no.cluster.com',
  'srv.com',
  '_ldap._tcp.srv.com',
  '_web._udp.srv.com',
  'prime.srv.com',
  'www.other.org',
  // The last is not damaged: an escape would make its labels too long, see docs/differences.md.
  `${'x'.repeat(63)}.${'y'.repeat(63)}.${'z'.repeat(63)}.com`,
];
const types = [1, 28, 33, 15, 255];

function query(name: string, type: number): Buffer {
  const labels = name
    .split('.')
    .map((it) => Buffer.concat([Buffer.from([it.length]), Buffer.from(it, 'latin1')]));
  return Buffer.concat([
    Buffer.from([0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
    ...labels,
    Buffer.from([0, type >> 8, type & 255, 0, 1]),
  ]);
}

/** Every name with every type, then damaged ones. */
function queries(): Buffer[] {
  const all = names.flatMap((name) => types.map((type) => query(name, type)));
  const next = mulberry32(seed);
  const below = (n: number) => Math.floor((next() / 2 ** 32) * n);
  for (let i = 0; i < 600; i++) {
    const bytes = query(names[below(names.length - 1)]!, types[below(types.length)]!);
    const part = i % 4 === 0 ? bytes.subarray(0, below(bytes.length)) : bytes;
    for (let k = below(3); k >= 0 && part.length > 0; k--) part[below(part.length)] = below(256);
    all.push(Buffer.from(part));
  }
  return all;
}

for (const ignoresCase of [false, true]) {
  test(`answers as Envoy does${ignoresCase ? ', whatever the case' : ''} (SEED=${seed})`, {
    skip: missing('envoy'),
  }, async (t) => {
    const [envoy, ours] = await Promise.all([run(t, 'envoy', ignoresCase), run(t, 'chancery', ignoresCase)]);
    for (const [i, bytes] of queries().entries())
      assert.equal(
        ours.answers[i],
        envoy.answers[i],
        `query ${bytes.toString('hex')} (${bytes.toString('latin1')})`,
      );
    assert.equal(ours.log, envoy.log);
    assert.equal(ours.stats, envoy.stats);
  });
}

async function run(t: TestContext, kind: ProxyKind, ignoresCase: boolean) {
  const folder = mkdtempSync(join(tmpdir(), 'dns-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const [port, adminPort] = (await freePorts(2)) as [number, number];
  const filter = {
    '@type': 'type.googleapis.com/envoy.extensions.filters.udp.dns_filter.v3.DnsFilterConfig',
    stat_prefix: 'd',
    case_insensitive: ignoresCase,
    server_config: { inline_dns_table: table },
    access_log: [
      {
        name: 'file',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog',
          path: 'access.log',
          log_format: {
            text_format_source: {
              inline_string:
                '%QUERY_NAME% %QUERY_TYPE% %QUERY_CLASS% %ANSWER_COUNT% %RESPONSE_CODE% %PARSE_STATUS%\n',
            },
          },
        },
      },
    ],
  };
  const cluster = (name: string, ...ips: readonly string[]) => ({
    name,
    load_assignment: {
      cluster_name: name,
      endpoints: [{ lb_endpoints: ips.map((ip) => ({ endpoint: { address: address(99, ip) } })) }],
    },
  });
  const proxy = await startProxyProcess({
    kind,
    folder,
    yaml: JSON.stringify({
      admin: { address: address(adminPort) },
      static_resources: {
        listeners: [
          {
            name: 'dns',
            address: address(port, '127.0.0.1', 'UDP'),
            listener_filters: [{ name: 'dns', typed_config: filter }],
          },
        ],
        clusters: [cluster('members', '127.0.0.1', '127.0.0.2', '::1'), cluster('one', '127.0.0.3')],
      },
    }),
    adminPort,
    arguments: ['--concurrency', '1', ...(kind === 'envoy' ? ['--use-dynamic-base-id'] : [])],
  });
  t.after(() => proxy.stop());
  const client = createSocket('udp4');
  t.after(() => client.close());
  client.connect(port, '127.0.0.1');
  await once(client, 'connect');
  const answers: string[] = [];
  for (const bytes of queries()) {
    const answer = once(client, 'message', { signal: AbortSignal.timeout(10_000) });
    client.send(bytes);
    answers.push(shown((await answer)[0] as Buffer));
  }
  const { body } = await proxy.admin('/stats?filter=^dns_filter');
  await proxy.stop();
  return {
    answers,
    log: readFileSync(join(folder, 'access.log'), 'latin1'),
    stats: body.replace(/^.*_(bytes|latency): .*\n/gm, ''),
  };
}

/** The header and the question, then the records in an order of their own: where a list begins is left to chance. */
function shown(bytes: Buffer): string {
  const counts = [4, 6, 8, 10].map((at) => bytes.readUInt16BE(at));
  let at = 12;
  const skipName = () => {
    while (at < bytes.length && bytes[at] !== 0) at += 1 + bytes[at]!;
    at++;
  };
  for (let i = 0; i < counts[0]!; i++) {
    skipName();
    at += 4;
  }
  const question = bytes.subarray(0, at).toString('hex');
  const records: string[] = [];
  while (at < bytes.length) {
    const start = at;
    skipName();
    at += 10 + bytes.readUInt16BE(at + 8);
    records.push(bytes.subarray(start, at).toString('hex'));
  }
  return [question, ...records.sort()].join(' ');
}
