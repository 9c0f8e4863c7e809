// The UDP sandbox of the second document in test/golden/seeds, from its own text: the configuration, three datagrams, the statistics that
// it prints. Only the ports are others. What it prints a minute later (`idle_timeout: 3`) is a recorded case, 03-udp-proxy-after-default-idle.
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePorts } from '#testing/free-ports.ts';
import { startProxyFor } from '#testing/proxy-process.ts';

const document = readFileSync(
  globSync('golden/seeds/002_*.txt', { cwd: join(import.meta.dirname, '..') }).map((it) =>
    join(import.meta.dirname, '..', it),
  )[0]!,
  'utf8',
);
const section = /^## Envoy UDP Proxy$([\s\S]*?)^## /m.exec(document)![1]!;
const yaml = /```yaml\n([\s\S]*?)```/.exec(section)![1]!;
/** What `grep udp | grep -v "\: 0"` printed, less what a minute has changed. */
const printed = [...section.matchAll(/^(?:cluster|udp)\.\S+: .+$/gm)]
  .map(([line]) => line)
  .filter((it) => !it.includes('idle_timeout'));

test('prints what the document prints', async (t) => {
  assert.equal(printed.length, 15);
  const service = createSocket('udp4').bind(0, '127.0.0.14');
  t.after(() => service.close());
  await once(service, 'listening');
  const seen: string[] = [];
  service.on('message', (bytes) => seen.push(bytes.toString()));
  const [listenerPort, adminPort] = (await freePorts(2)) as [number, number];
  const proxy = await startProxyFor(t, {
    kind: 'chancery',
    yaml: yaml
      .replace('10000', String(listenerPort))
      .replace('10001', String(adminPort))
      .replace('5005', String(service.address().port)),
    adminPort,
    hosts: '127.0.0.14 service-udp',
  });
  // echo -n HELO | nc -u -w1 127.0.0.1 10000
  for (const [i, text] of ['HELO', 'HELO', 'OLEH'].entries()) {
    const client = createSocket('udp4');
    client.send(text, listenerPort, '127.0.0.1');
    while (seen.length <= i) await sleep(2);
    client.close();
  }
  assert.deepEqual(seen, ['HELO', 'HELO', 'OLEH']);
  const { body } = await proxy.admin('/stats');
  const ours = new Set(
    body
      .split('\n')
      .filter((line) => line.includes('udp') && !line.includes(': 0'))
      .map(withoutUpdates),
  );
  // How often the name was resolved is a matter of time; update_no_rebuild comes with the second time.
  const expected = printed.map(withoutUpdates).filter((it) => !it.includes('update_no_rebuild'));
  assert.deepEqual(
    expected.filter((line) => !ours.has(line)),
    [],
  );
});

const withoutUpdates = (line: string) => line.replace(/(total_match_count|update_\w+): \d+$/, '$1: n');
