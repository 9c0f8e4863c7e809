// npm run soak [-- --minutes 10 --kind chancery]
// Mixed load for some minutes: keep-alive, HTTP/2, short connections, uploads, downloads, clients and upstreams that break off, floods.
// Memory is sampled; at the end it must not have grown after the first quarter, and nobody may have been refused.
import { mkdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { residentKilobytes } from '#testing/process-usage.ts';
import { fixedRate, h2load, type LoadResult, uploads, wrk } from './load.ts';
import { type Kind, openWorkshop, startProxy, startUpstream } from './proxies.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    kind: { type: 'string', default: 'chancery' },
    save: { type: 'boolean', default: false },
  },
});
const minutes = Number(values.minutes);
const kind = values.kind as Kind;

const workshop = openWorkshop();
const upstream = await startUpstream(workshop, {});
const proxy = (await startProxy(
  kind,
  { service: { filters: true, accessLog: 'access.log' } },
  upstream.port,
  workshop,
))!;
const started = performance.now();
const samples: { seconds: number; megabytes: number }[] = [];
const totals = new Map<string, LoadResult>();
const url = `http://127.0.0.1:${proxy.port}/`;

/** Opens connections, writes a part of a request or reads a part of an answer, and breaks off. */
async function breakOff(seconds: number): Promise<LoadResult> {
  const until = performance.now() + seconds * 1000;
  let requests = 0;
  while (performance.now() < until) {
    await Promise.all(
      Array.from({ length: 20 }, async (_, i) => {
        const socket = connect({ host: '127.0.0.1', port: proxy.port });
        socket.on('error', () => {});
        const request = `GET ${i % 2 ? '/big' : '/'} HTTP/1.1\r\nhost: soak\r\n\r\n`;
        socket.write(i % 3 ? request : request.slice(0, i * 2));
        await sleep(2 + i);
        if (i % 5) socket.destroy();
        else socket.resetAndDestroy();
        requests++;
      }),
    );
  }
  return { requests, failed: 0 };
}

const mix: Record<string, (seconds: number) => Promise<LoadResult>> = {
  'keep-alive': (seconds) => wrk({ seconds, url, connections: 16 }),
  'http/2': (seconds) => h2load({ seconds, url, connections: 4, streams: 8 }),
  'one request per connection': (seconds) =>
    wrk({ seconds, url, connections: 8, headers: { connection: 'close' } }),
  downloads: (seconds) => wrk({ seconds, url: `${url}big`, connections: 4 }),
  uploads: (seconds) => uploads({ seconds, url: `${url}upload`, connections: 4 }, workshop.bigBody),
  'broken off': breakOff,
  'fixed rate': (seconds) => fixedRate({ seconds, url }, 500),
};

const sampler = setInterval(() => {
  const seconds = Math.round((performance.now() - started) / 1000);
  const megabytes = residentKilobytes(proxy.pid) / 1024;
  samples.push({ seconds, megabytes });
  console.log(`${String(seconds).padStart(5)} s ${megabytes.toFixed(1).padStart(8)} MB`);
}, 10_000);

try {
  while (performance.now() - started < minutes * 60_000) {
    for (const [name, load] of Object.entries(mix)) {
      // Two at a time: the named one for three seconds, with others breaking off beside it.
      const [result] = await Promise.all([load(3), name === 'broken off' ? undefined : breakOff(2)]);
      const total = totals.get(name) ?? { requests: 0, failed: 0 };
      totals.set(name, {
        requests: total.requests + result!.requests,
        failed: total.failed + result!.failed,
      });
    }
  }
} finally {
  clearInterval(sampler);
  await proxy.stop();
  await upstream.stop();
  workshop.remove();
}

for (const [name, { requests, failed }] of totals)
  console.log(`${name.padEnd(28)} ${String(requests).padStart(9)} answered, ${failed} failed`);
const quarter = Math.ceil(samples.length / 4);
const most = (list: typeof samples) => Math.max(...list.map((it) => it.megabytes));
const early = most(samples.slice(0, Math.max(1, 2 * quarter)));
const late = most(samples.slice(3 * quarter - 1));
console.log(
  `most memory in the first half ${early.toFixed(1)} MB, in the last quarter ${late.toFixed(1)} MB`,
);
// The garbage collector breathes: a tenth is no growth.
const hasGrown = late > early * 1.1 + 5;
if (hasGrown) console.log('memory grew');
process.exitCode = hasGrown ? 1 : 0;
if (values.save) {
  const folder = join(import.meta.dirname, 'results');
  mkdirSync(folder, { recursive: true });
  const date = new Date().toISOString();
  const record = { date, kind, minutes, samples, totals: Object.fromEntries(totals) };
  writeFileSync(
    join(folder, `soak-${date.slice(0, 16).replaceAll(':', '')}.json`),
    `${JSON.stringify(record, null, 1)}\n`,
  );
}
