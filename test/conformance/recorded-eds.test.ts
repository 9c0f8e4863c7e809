// The recordings of test/golden/05-*: a file of endpoints that is replaced in many ways, and what Envoy did at each step. PROXY=envoy plays them
// against the real Envoy, which proves the player.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { globSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startProxyFor } from '#testing/proxy-process.ts';
import { portsFor, proxyKind, proxyMissing } from './black-box.ts';

const golden = join(import.meta.dirname, '../golden');

async function upstream(t: TestContext, address: string, port: number, name: string): Promise<void> {
  const server = createServer((_request, response) => response.end(name));
  await once(server.listen(port, address), 'listening');
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
}

/** Without what differs from run to run. */
function stats(text: string): string[] {
  return text
    .trim()
    .split('\n')
    .filter((it) => !/update_(time|duration): /.test(it));
}

function clusters(text: string): string[] {
  return text
    .trim()
    .split('\n')
    .filter((it) => !/::([cr][xq]_|hostname::127)/.test(it));
}

/** What is said of the file: behind the place in the source, without the text form of messages, and without our own remedies. */
function log(text: string): string[] {
  return text.split('\n').flatMap((line) => {
    const [, said] = /\[(?:warning|error)\]\[\w+\] \[\S+\] (.*)/.exec(line) ?? [];
    if (said === undefined || !/^(eds: |Filesystem )/.test(said)) return [];
    return said
      .replace(/goo\.gle\/debug\w+.*/, '')
      .replace(/Proto constraint.*/, '')
      .replace(/line \d+, column \d+/, '<place>')
      .replace(/(Unable to parse JSON as proto).*/, '$1');
  });
}

for (const folder of globSync('05-*', { cwd: golden }).sort()) {
  test(`plays ${folder}`, { skip: proxyMissing }, async (t) => {
    const read = (name: string) => readFileSync(join(golden, folder, name), 'utf8');
    const steps = globSync('step*.stats.txt', { cwd: join(golden, folder) })
      .map((it) => basename(it, '.stats.txt'))
      .sort();
    const { yaml, port, rewrite } = await portsFor(read('envoy.yaml'), ['21808']);
    const back = (text: string) =>
      text.replaceAll(`:${port(21808)}`, ':21808').replaceAll(`:${port(21000)}`, ':21000');
    await upstream(t, '127.0.0.11', port(21808), 'web1');
    await upstream(t, '127.0.0.12', port(21808), 'web2');
    const work = mkdtempSync(join(tmpdir(), 'recorded-eds-'));
    mkdirSync(join(work, 'eds'));
    const file = join(work, 'eds/eds.yaml');
    writeFileSync(file, rewrite(read(`${steps[0]}.eds.yaml`)));
    const proxy = await startProxyFor(t, {
      kind: proxyKind,
      folder: work,
      yaml,
      adminPort: port(21001),
      arguments: ['--concurrency', '1', '--use-dynamic-base-id', '-l', 'info'],
    });
    const admin = async (path: string) => (await proxy.admin(path)).body;
    let logged = 0;
    for (const step of steps) {
      if (step.includes('in-place')) writeFileSync(file, rewrite(read(`${step}.eds.yaml`)));
      else if (step.includes('removed')) rmSync(file);
      else if (step !== steps[0]) {
        writeFileSync(join(work, 'new.yaml'), rewrite(read(`${step}.eds.yaml`)));
        renameSync(join(work, 'new.yaml'), file);
      }
      const expected = stats(read(`${step}.stats.txt`));
      const attempts = expected.find((it) => it.includes('update_attempt'))!;
      const now = () =>
        admin('/stats?filter=^cluster.webcluster1.(version|assignment|init|membership|update|warming)');
      for (let i = 0; i < 200 && !(await now()).includes(attempts); i++) await sleep(10);
      // What is not to be noticed would be by then.
      await sleep(50);
      assert.deepEqual(stats(await now()).sort(), expected.sort(), step);
      assert.deepEqual(
        clusters(back(await admin('/clusters'))),
        clusters(read(`${step}.clusters.txt`)),
        step,
      );
      const output = proxy.output;
      assert.deepEqual(log(output.slice(logged)), log(read(`${step}.log.txt`)), step);
      logged = output.length;
      const answers = new Set<string>();
      for (let i = 0; i < 4; i++) {
        const answer = await fetch(`http://127.0.0.1:${port(21000)}/`, { headers: { connection: 'close' } });
        answers.add(`HTTP/1.1 ${answer.status} ${answer.statusText} ${await answer.text()}`);
      }
      assert.deepEqual(answers, new Set(read(`${step}.four-requests.txt`).trim().split('\n')), step);
    }
  });
}
