// The front proxy of the second document in test/golden/seeds, from its own text: the configuration with its certificate, `curl -k` and
// `openssl s_client` as clients. Only the ports are others.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { globSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { freePorts } from '#testing/free-ports.ts';
import { missing, peer } from '#testing/peers.ts';
import { startProxyFor } from '#testing/proxy-process.ts';

const seeds = join(import.meta.dirname, '../golden/seeds');
const document = readFileSync(join(seeds, globSync('002_*.txt', { cwd: seeds })[0]!), 'utf8');
const section = /^## Envoy front proxy$([\s\S]*?)^## /m.exec(document)![1]!;
const yaml = /```yaml\n([\s\S]*?)```/.exec(section)![1]!;
/** What each `curl -k https://localhost:8000/version` printed. */
const printed = [...section.matchAll(/curl -k (https:\S+)\n(\S+)\n/g)].map(([, url, line]) => ({
  url: url!,
  line: line!,
}));

/** `version_v1` and `version_v2`: one port on two addresses. */
async function versions(t: TestContext): Promise<number> {
  for (;;) {
    const servers = ['v1', 'v2'].map((name) =>
      createServer((_request, response) => response.end(`${name}\n`)),
    );
    const [one, two] = servers as [ReturnType<typeof createServer>, ReturnType<typeof createServer>];
    await once(one.listen(0, '127.0.0.11'), 'listening');
    const { port } = one.address() as AddressInfo;
    two.listen(port, '127.0.0.12');
    const isFree = await once(two, 'listening').then(
      () => true,
      () => false,
    );
    if (!isFree) {
      one.close();
      continue;
    }
    t.after(() => {
      for (const it of servers) {
        it.close();
        it.closeAllConnections();
      }
    });
    return port;
  }
}

/** What the command prints; `openssl` is given an end of input. */
function run(command: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(command, args, { timeout: 10_000 }, (error, out) =>
      error === null ? resolve(out) : reject(error),
    );
    child.stdin?.end();
  });
}

test('answers as the document shows', { skip: missing('curl', 'openssl') }, async (t) => {
  assert.deepEqual(
    printed.map((it) => it.line),
    ['v1', 'v2', 'v1', 'v2'],
  );
  const upstream = await versions(t);
  const [listenerPort, adminPort] = (await freePorts(2)) as [number, number];
  await startProxyFor(t, {
    kind: 'chancery',
    yaml: yaml
      .replace('port_value: 8000', `port_value: ${listenerPort}`)
      .replace('port_value: 8001', `port_value: ${adminPort}`)
      .replaceAll('port_value: 9000', `port_value: ${upstream}`),
    adminPort,
    arguments: ['--concurrency', '1'],
    hosts: '127.0.0.11 version_v1\n127.0.0.12 version_v2',
  });

  const lines: string[] = [];
  for (const { url } of printed)
    lines.push((await run(peer('curl'), ['-s', '-k', url.replace('8000', String(listenerPort))])).trim());
  // Round robin starts where it likes.
  const expected = printed.map((it) => it.line);
  if (lines[0] !== expected[0]) expected.push(expected.shift()!);
  assert.deepEqual(lines, expected);

  const handshake = await run(peer('openssl'), ['s_client', '-connect', `localhost:${listenerPort}`]);
  // What the comment in the configuration made the certificate with: -subj '/CN=front-envoy', RSA of 2048 bits.
  assert.match(handshake, /subject=CN ?= ?front-envoy\b/);
  assert.match(handshake, /Server public key is 2048 bit/);
  assert.match(handshake, /TLSv1\.3/);
});
