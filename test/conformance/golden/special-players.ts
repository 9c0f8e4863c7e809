// Recordings that are not just a list of steps: a table of hosts, counts over many requests, timings.
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { peer } from '#testing/peers.ts';
import { compareAccessLogOperators, compareText, type Difference, normalize } from './compare.ts';
import { compareTraces, type Play, playSteps } from './replay.ts';
import { playStep } from './scripted-client.ts';
import { playDatagrams } from './udp-player.ts';

type Player = (play: Play) => Promise<Difference[]>;

/** 08-http/domains-*: `host -> status body`, one line per step. */
const hostTable: Player = async (play) => {
  const { recorded } = play;
  const table = recorded.file('table.txt')!.trimEnd();
  const lines = await Promise.all(
    recorded.steps.map(async (step) => {
      const { response } = await playStep(step, 0.05);
      const host = /\r\nhost: (.*)\r\n/.exec(step.actions[0]![1] as string)![1]!;
      const [head = '', body = ''] = response.split('\r\n\r\n');
      const status = table.includes('-> 200') ? `${head.split(' ')[1]} ` : '';
      return `${recorded.back(host)} -> ${status}${body.trim()}`;
    }),
  );
  return compareText('table.txt', 'response', table, lines.join('\n'));
};

/** 80 to 20 over 400 requests on one connection. */
const weightedClusters: Player = async ({ recorded, seen }) => {
  const count = 400;
  const socket = connect({ host: '127.0.0.1', port: recorded.port(21000), noDelay: true });
  for (let i = 0; i < count; i++) {
    socket.write('GET / HTTP/1.1\r\nhost: example.com\r\n\r\n');
    await once(socket, 'data');
  }
  socket.destroy();
  const differences: Difference[] = [];
  const toFirst = seen.filter((it) => it.upstream === 'up').length;
  // Five standard deviations of a fair 0.8.
  if (seen.length !== count || Math.abs(toFirst - count * 0.8) > 5 * Math.sqrt(count * 0.8 * 0.2))
    differences.push({
      where: 'counts.json',
      aspect: 'response',
      lines: ['- about 320 of 400', `+ ${toFirst} of ${seen.length}`],
    });
  return differences;
};

/** When the proxy ends a connection whose client keeps its side open. */
const delayedClose: Player = async (play) => {
  const { recorded } = play;
  const requests: Record<string, string> = {
    'garbage-400': 'not an HTTP line!\r\n\r\n',
    'http10-426': 'GET / HTTP/1.0\r\nhost: a\r\n\r\n',
    'request-connection-close': 'GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n',
    'te-and-cl-400':
      'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
    'headers-too-large-431': `GET / HTTP/1.1\r\nhost: a\r\nx: ${'a'.repeat(70_000)}\r\n\r\n`,
    'missing-host-400': 'GET / HTTP/1.1\r\n\r\n',
    'unknown-upgrade-403': 'GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: foo\r\n\r\n',
    'keep-alive-200': 'GET / HTTP/1.1\r\nhost: a\r\n\r\n',
  };
  const lines: string[] = [];
  for (const [name, request] of Object.entries(requests)) {
    const socket = connect({ host: '127.0.0.1', port: recorded.port(21000), allowHalfOpen: true });
    socket.on('error', () => {});
    let answer = '';
    socket.on('data', (chunk) => {
      answer += chunk.toString('latin1');
    });
    socket.write(request);
    const started = performance.now();
    const end = await Promise.race([
      once(socket, 'end').then(() => 'FIN'),
      once(socket, 'close').then(() => 'RST'),
      sleep(2500),
    ]);
    const seconds = (performance.now() - started) / 1000;
    socket.destroy();
    // In steps of a half second: what is asked is whether it waited for delayed_close_timeout.
    const rounded = (Math.round(seconds * 2) / 2).toFixed(2);
    lines.push(
      `${name}: answer \`${answer.split('\r\n')[0]}\`, ${end ?? 'still open after 2.5 s'} at ${rounded} s after sending`,
    );
  }
  return [
    ...compareText('timings.txt', 'response', recorded.file('timings.txt')!.trimEnd(), lines.join('\n')),
    ...(await compareTraces(play, [])),
  ];
};

/** A keep-alive connection while POST /drain_listeners?graceful runs its two seconds. */
const drainGracefully: Player = async (play) => {
  const { recorded, proxy } = play;
  const socket = connect({ host: '127.0.0.1', port: recorded.port(21000), allowHalfOpen: true });
  socket.on('error', () => {});
  const lines: string[] = [];
  const exchange = async (path: string, title: string) => {
    socket.write(`GET ${path} HTTP/1.1\r\nhost: example.com\r\n\r\n`);
    const [answer] = (await once(socket, 'data')) as [Buffer];
    lines.push(`--- ${title}`, answer.toString('latin1'));
  };
  await exchange('/1', 'first response (open)');
  const started = performance.now();
  const at = (ms: number) => sleep(Math.max(0, started + ms - performance.now()));
  const { body } = await proxy.admin('/drain_listeners?graceful', 'POST');
  lines.push(`--- POST /drain_listeners?graceful -> ${body.trimEnd()}`);
  await at(1900);
  await exchange('/2', 'second response on the same connection after 1.9 s of a 2 s drain (open)');
  // Once drained, Envoy exits: what it counted is asked before.
  const differences = await compareTraces(play, []);
  await at(2400);
  const late = connect({ host: '127.0.0.1', port: recorded.port(21000) });
  const verdict = await once(late, 'connect').then(
    () => 'accepted',
    () => '[Errno 111] Connection refused',
  );
  late.destroy();
  lines.push(`--- after 2.3 s: new connection: ${verdict}`);
  socket.destroy();
  return [
    ...compareText(
      'transcript.txt',
      'response',
      normalize(recorded.file('transcript.txt')!.trimEnd()),
      normalize(lines.join('\n').trimEnd()),
    ),
    ...differences,
  ];
};

/** Waits until the health checks have judged, then plays. */
const afterHealthChecks: Player = async (play) => {
  for (let i = 0; i < 40; i++) {
    const { body } = await play.proxy.admin('/clusters');
    if (body.includes('/degraded_active_hc') && body.includes('/failed_active_hc')) break;
    await sleep(100);
  }
  // How many health checks there were is a matter of time; what one of them looks like is not.
  const { recorded, seen } = play;
  const bodies: string[] = [];
  const settledChecks = seen.filter((it) => it.raw.startsWith('GET /hc')).slice(0, 3);
  for (const step of recorded.steps)
    bodies.push((await playStep(step, recorded.idleSeconds)).response.split('\r\n\r\n')[1] ?? '');
  const expectedCheck = /GET \/hc[\s\S]*?\r\n\r\n/.exec(recorded.file('upstream-saw.txt')!)![0];
  return [
    // One healthy host of three is under the overprovisioning limit: who answers is drawn by lot, but never the failed one.
    ...bodies
      .filter((it) => it !== 'up\n' && it !== 'degraded\n')
      .flatMap((it) => compareText('bodies.txt', 'response', 'up or degraded', it)),
    ...settledChecks.flatMap((it) => compareText('health check request', 'upstream', expectedCheck, it.raw)),
  ];
};

/** The steps, then HTTP/2 in clear text and over TLS with curl, then TCP, each with its own log files. */
const accessLog: Player = async (play) => {
  const { recorded, folder, proxy } = play;
  const differences = await playSteps({
    ...play,
    recorded: Object.assign(Object.create(recorded), { file: () => undefined }),
  });
  const curl = peer('curl');
  const run = promisify(execFile);
  const get = ['-sS', '-H', 'x-abc: abcdef', '-H', 'x-dup: 1', '-H', 'x-dup: 2'];
  const post = ['-sS', '--data-binary', 'hello'];
  const clear = `http://127.0.0.1:${recorded.port(21110)}`;
  const tls = `https://a.example.com:${recorded.port(21111)}`;
  const overTls = ['-k', '--resolve', `a.example.com:${recorded.port(21111)}:127.0.0.1`];
  // The answer to the refused one may come before its body was sent, which curl calls an error.
  const refused = (args: string[]) => run(curl, args).catch(() => {});
  await run(curl, [...get, '--http2-prior-knowledge', `${clear}/p?q=1`]);
  await refused([...post, '--http2-prior-knowledge', `${clear}/bad`]);
  await run(curl, [...get, ...overTls, `${tls}/p?q=1`]);
  await refused([...post, ...overTls, `${tls}/bad`]);
  await exchangeTcp(recorded.port(21112), 'GET /tcp HTTP/1.1\r\nhost: a\r\n\r\n');
  await exchangeTcp(recorded.port(21113), 'GET /tcp HTTP/1.1\r\nhost: a\r\n\r\n');
  await sleep(200);
  // The recording ended Envoy while the TCP connection was half closed; that is the reason its log gives.
  await proxy.stop();
  for (const listener of ['h1', 'h2', 'tls', 'tcp', 'tcpbad'])
    for (const kind of ['default', 'json', 'sorted', 'text', 'text-omit-empty', 'typed-json-omit-empty']) {
      const file = `${listener}-${kind}.log`;
      const expected = recorded.file(file)!;
      differences.push(
        ...compareAccessLogOperators(file, expected, recorded.back(readOrEmpty(join(folder, file)))),
      );
    }
  return differences;
};

async function exchangeTcp(port: number, text: string): Promise<void> {
  const socket: Socket = connect({ host: '127.0.0.1', port });
  socket.on('error', () => {});
  socket.resume();
  socket.write(text);
  await sleep(200);
  socket.destroy();
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

/** 01 and 04: files that begin with the curl and openssl commands that were run, and the admin pages before them. */
const transcripts: Player = async (play) => {
  const { recorded, proxy, folder } = play;
  const differences: Difference[] = [];
  const shell = promisify(execFile);
  // Round robin starts at a random host.
  const prepared = (text: string) =>
    normalize(recorded.back(text))
      .replace(/\bv[12]$/gm, 'v⟨n⟩')
      .replace(/^\w+:error:\w+:(.*):\.\..*/gm, 'error: $1')
      .replace(/(Session-ID: )\w+/g, '$1⟨id⟩');
  const page = async (path: string, file: string) => {
    const expected = recorded.file(file);
    if (expected === undefined) return;
    const { body } = await proxy.admin(path);
    // Clusters come in no order.
    const ordered = path === '/clusters' ? sortLines : (text: string) => text;
    differences.push(...compareText(file, 'stats', ordered(prepared(expected)), ordered(prepared(body))));
  };
  await page('/ready', 'admin-ready.txt');
  await page('/listeners', 'admin-listeners.txt');
  await page('/listeners?format=json', 'admin-listeners-format-json.json');
  await page('/clusters', 'before-admin-clusters.txt');
  for (const file of recorded.files()) {
    const text = recorded.file(file)!;
    if (!text.startsWith('$ ')) continue;
    const blocks: string[] = [];
    for (const [, command] of text.matchAll(/^\$ (.*)$/gm)) {
      const { stdout, stderr } = await shell('sh', ['-c', `exec </dev/null; ${recorded.forward(command!)}`], {
        cwd: folder,
        timeout: 10_000,
      }).catch((error: { stdout: string; stderr: string }) => error);
      const output = command!.startsWith('openssl')
        ? handshakeLines(`${stdout}${stderr}`)
        : `${stdout}${stderr}`.replaceAll('\r', '');
      blocks.push(`$ ${command}\n${output}`);
    }
    const readable = text.startsWith('$ openssl')
      ? sortLines
      : text.includes(' -v ')
        ? verboseLines
        : withoutReturns;
    const [expected, actual] = [readable(text), readable(blocks.join('\n'))];
    differences.push(
      ...compareText(file, 'response', prepared(expected).trimEnd(), prepared(actual).trimEnd()),
    );
  }
  return differences;
};

/** The lines of s_client that were kept. */
function handshakeLines(output: string): string {
  const kept =
    /^(verify error|subject=|issuer=|Peer |Server Temp Key|Verification|New, |Secure Renegotiation|No ALPN|ALPN| {4}(Protocol|Cipher|Session-ID:|TLS session ticket lifetime|Verify return code)|Verify return code|\w+:error:)/;
  // After a TLS 1.3 handshake the tickets may or may not arrive before s_client ends.
  const isTls13 = output.includes('New, TLSv1.3');
  return output
    .split('\n')
    .filter((line) => kept.test(line) && !(isTls13 && line.startsWith('    ')))
    .join('\n');
}

const withoutReturns = (text: string) => text.replaceAll('\r', '');

/** Of `curl -v`, what does not depend on its version: the answer, the protocols, the certificate. */
const verboseLines = (text: string) =>
  withoutReturns(text)
    .split('\n')
    .filter((line) =>
      /^(< |\* +(ALPN: [^o]|SSL connection|subject:|issuer:|start date|expire date))/.test(line),
    )
    .map((line) => line.replace('< ', ''))
    .join('\n');

const sortLines = (text: string) => text.split('\n').filter(Boolean).sort().join('\n');

export const players: Readonly<Record<string, Player>> = {
  '01-front-proxy': transcripts,
  '01-front-proxy-alpn-h2': transcripts,
  '03-udp-proxy': playDatagrams,
  '03-udp-proxy-after-default-idle': playDatagrams,
  '03-udp-proxy-echo': playDatagrams,
  '03-udp-proxy-idle-timeout-access-log': playDatagrams,
  '03-udp-proxy-no-route-cluster': playDatagrams,
  '03-udp-proxy-upstream-port-closed': playDatagrams,
  '04-basic-front': transcripts,
  '08-http/domains-default': hostTable,
  '08-http/domains-ignore-port': hostTable,
  '08-http/domains-strip-any-port': hostTable,
  '08-http/domains-strip-matching-port': hostTable,
  '08-http/weighted-clusters': weightedClusters,
  '08-http/delayed-close-timing': delayedClose,
  '08-http/drain-listeners-graceful': drainGracefully,
  '08-http/health-check-http': afterHealthChecks,
  '09-access-log': accessLog,
};
