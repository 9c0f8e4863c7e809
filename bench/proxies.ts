// Starts the proxies that are compared, all with the same service, and the upstream they forward to.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePorts } from '#testing/free-ports.ts';
import { findPeer, peer } from '#testing/peers.ts';
import { proxyCommand } from '#testing/proxy-process.ts';
import { envoyYaml, haproxyProxy, nginxProxy, nginxUpstream, type Service } from './configurations.ts';
import type { LoadLane } from './lanes.ts';

export const kinds = ['envoy', 'chancery', 'nginx', 'haproxy'] as const;
export type Kind = (typeof kinds)[number];

export interface Upstream {
  readonly pid: number;
  readonly port: number;
  readonly folder: string;
  readonly startMs: number;
  readonly stop: () => Promise<void>;
}

export interface Running extends Upstream {
  readonly kind: Kind;
  readonly adminPort: number;
}

/** A place for files of one lane. */
export interface Workshop {
  readonly folder: string;
  readonly bigBody: Buffer;
  readonly certificate: string;
  readonly key: string;
  readonly remove: () => void;
}

export function openWorkshop(): Workshop {
  const folder = mkdtempSync(join(tmpdir(), 'bench-'));
  // nginx's worker is another user and reads the big file.
  chmodSync(folder, 0o755);
  const bigBody = randomBytes(1 << 20);
  writeFileSync(join(folder, 'big'), bigBody);
  const certificate = join(folder, 'certificate.pem');
  const key = join(folder, 'key.pem');
  execFileSync(
    'openssl',
    [
      'req',
      '-x509',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-days',
      '2',
      '-subj',
      '/CN=bench',
      '-out',
      certificate,
      '-keyout',
      key,
    ],
    { stdio: 'ignore' },
  );
  writeFileSync(`${certificate}.pem`, readFileSync(certificate, 'utf8') + readFileSync(key, 'utf8'));
  return { folder, bigBody, certificate, key, remove: () => rmSync(folder, { recursive: true }) };
}

export function isAvailable(kind: Kind): boolean {
  if (kind === 'chancery') return existsSync(join(import.meta.dirname, '../src/cli/main.ts'));
  return findPeer(kind) !== undefined;
}

/**
 * nginx over HTTP/1, nghttpd over HTTP/2: it answers together what came together, and costs less than any proxy. nginx sends one
 * answer at a time and needs a whole core before Envoy does; a lane that is to show that asks for it.
 */
export async function startUpstream(
  workshop: Workshop,
  {
    service,
    upstream = service?.upstream === 'h2' ? 'nghttpd' : 'nginx',
  }: Pick<LoadLane, 'service' | 'upstream'>,
): Promise<Upstream> {
  const [port] = (await freePorts(1)) as [number];
  const folder = join(workshop.folder, `upstream-${port}`);
  mkdirSync(folder);
  if (upstream === 'nghttpd') {
    writeFileSync(join(folder, 'index.html'), 'hello, world\n');
    const command = [peer('nghttpd'), '--no-tls', '-n1', '-a127.0.0.1', `-d${folder}`, String(port)];
    return start(command, folder, port);
  }
  writeFileSync(join(folder, 'nginx.conf'), nginxUpstream(port, service?.upstream === 'h2', workshop.folder));
  return start([peer('nginx'), '-p', folder, '-c', 'nginx.conf'], folder, port);
}

/** Starts one proxy for a lane; undefined when that proxy cannot do what the lane asks. */
export async function startProxy(
  kind: Kind,
  lane: Pick<LoadLane, 'service' | 'tls' | 'clientSpeaksH2'>,
  upstreamPort: number,
  workshop: Workshop,
  nodeFlags: readonly string[] = [],
): Promise<Running | undefined> {
  const [port, adminPort] = (await freePorts(2)) as [number, number];
  const service: Service = {
    ...lane.service,
    port,
    adminPort,
    upstreamPort,
    ...(lane.tls ? { tls: { certificate: workshop.certificate, key: workshop.key, alpn: lane.tls } } : {}),
  };
  const folder = join(workshop.folder, `${kind}-${port}`);
  mkdirSync(folder);
  if (kind === 'envoy' || kind === 'chancery') {
    writeFileSync(join(folder, 'envoy.yaml'), envoyYaml(service));
    const command = [
      ...proxyCommand(kind, kind === 'chancery' ? nodeFlags : []),
      ...['-c', 'envoy.yaml', '--concurrency', '1', '-l', 'error'],
      ...(kind === 'envoy' ? ['--use-dynamic-base-id'] : []),
    ];
    return { ...(await start(command, folder, port)), kind, adminPort };
  }
  const text = (kind === 'nginx' ? nginxProxy : haproxyProxy)(service, lane.clientSpeaksH2 === true);
  if (text === undefined) return undefined;
  writeFileSync(join(folder, 'proxy.conf'), text);
  const command =
    kind === 'nginx'
      ? [peer('nginx'), '-p', folder, '-c', 'proxy.conf']
      : [peer('haproxy'), '-f', 'proxy.conf'];
  return { ...(await start(command, folder, port)), kind, adminPort };
}

async function start([program, ...args]: readonly string[], folder: string, port: number): Promise<Upstream> {
  const log = openSync(join(folder, 'output'), 'a');
  const started = performance.now();
  const child = spawn(program!, args, { cwd: folder, stdio: ['ignore', log, log] });
  closeSync(log);
  await untilListening(child, port, join(folder, 'output'));
  const startMs = performance.now() - started;
  return { pid: child.pid!, port, folder, startMs, stop: () => stop(child) };
}

async function untilListening(child: ChildProcess, port: number, log: string): Promise<void> {
  for (let i = 0; i < 6000; i++) {
    const socket = connect({ host: '127.0.0.1', port });
    const open = await once(socket, 'connect').then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (open) return;
    if (child.exitCode !== null) throw new Error(`exited: ${readFileSync(log, 'utf8').slice(-2000)}`);
    await sleep(5);
  }
  child.kill('SIGKILL');
  throw new Error(`does not listen: ${readFileSync(log, 'utf8').slice(-2000)}`);
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  const patience = setTimeout(() => child.kill('SIGKILL'), 5000);
  await exited;
  clearTimeout(patience);
}
