// A proxy as its users start it: a process, a configuration file, flags, an admin port. The real Envoy and chancery are started the
// same way, so whatever runs on one runs on the other.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { get as httpGet, request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { peer } from './peers.ts';

export type ProxyKind = 'envoy' | 'chancery';

export interface ProxyProcessOptions extends ReadyOptions {
  readonly kind: ProxyKind;
  /** Where the process runs, and where its configuration and its output are written. */
  readonly folder: string;
  /** The configuration, as YAML. Written to `envoy.yaml`. */
  readonly yaml: string;
  readonly adminPort: number;
  readonly arguments?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** A hosts file of its own: lines as in /etc/hosts. */
  readonly hosts?: string;
  /** Flags for the Node that runs chancery, such as --cpu-prof. */
  readonly nodeFlags?: readonly string[];
}

export interface ReadyOptions {
  /** The admin path that answers 200 once the proxy may be used. */
  readonly readyPath?: string;
  /** A port that accepts connections once the proxy may be used, for a configuration without admin interface. */
  readonly listenerPort?: number;
  readonly startTimeoutMs?: number;
}

const root = join(import.meta.dirname, '../..');

/** The command that starts a kind of proxy: program and first arguments. */
export function proxyCommand(kind: ProxyKind, nodeFlags: readonly string[] = []): string[] {
  if (kind === 'envoy') return [peer('envoy')];
  if (nodeFlags.length > 0)
    return [join(root, 'node_modules/.bin/node'), ...nodeFlags, join(root, 'src/cli/main.ts'), 'proxy'];
  return [join(root, 'bin/chancery'), 'proxy'];
}

export class ProxyProcess {
  readonly kind: ProxyKind;
  readonly folder: string;
  readonly adminPort: number;
  readonly child: ChildProcess;
  readonly exited: Promise<unknown>;

  constructor(options: ProxyProcessOptions) {
    this.kind = options.kind;
    this.folder = options.folder;
    this.adminPort = options.adminPort;
    writeFileSync(join(options.folder, 'envoy.yaml'), options.yaml);
    const [program, ...first] = [
      ...(options.hosts === undefined ? [] : withHosts(options)),
      ...proxyCommand(options.kind, options.nodeFlags),
    ];
    // To append: a proxy that opens /dev/stdout anew has an offset of its own, and one would write over the other.
    const output = openSync(join(options.folder, 'proxy.log'), 'a');
    this.child = spawn(program!, [...first, '-c', 'envoy.yaml', ...(options.arguments ?? [])], {
      cwd: options.folder,
      env: { ...process.env, ...options.environment },
      stdio: ['ignore', output, output],
    });
    closeSync(output);
    this.exited = once(this.child, 'exit').catch(() => {});
  }

  get pid(): number {
    return this.child.pid!;
  }

  get hasExited(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  /** What the proxy wrote to its standard output and error. */
  get output(): string {
    return readFileSync(join(this.folder, 'proxy.log'), 'utf8');
  }

  async admin(path: string, method = 'GET'): Promise<{ status: number; body: string }> {
    const request = (method === 'GET' ? httpGet : httpRequest)({
      host: '127.0.0.1',
      port: this.adminPort,
      path,
      method,
      agent: false,
    });
    request.end();
    const [response] = await once(request, 'response');
    let body = '';
    response.setEncoding('latin1');
    for await (const chunk of response) body += chunk;
    return { status: response.statusCode, body };
  }

  async untilReady({
    readyPath = '/ready',
    listenerPort,
    startTimeoutMs = 30_000,
  }: ReadyOptions): Promise<void> {
    const deadline = Date.now() + startTimeoutMs;
    for (;;) {
      const answer = await this.admin(readyPath).catch(() => undefined);
      if (answer?.status === 200) return;
      if (answer === undefined && listenerPort !== undefined && (await accepts(listenerPort))) return;
      const why = this.hasExited ? 'exited' : Date.now() > deadline ? 'is not ready in time' : undefined;
      if (why !== undefined) throw new Error(`${this.kind} ${why}:\n${lastLines(this.output)}`);
      await sleep(15);
    }
  }

  /** Ends the process: asks, and after a while kills. */
  async stop(): Promise<void> {
    if (this.hasExited) return;
    this.child.kill('SIGTERM');
    const patience = setTimeout(() => this.child.kill('SIGKILL'), 3000);
    await this.exited;
    clearTimeout(patience);
  }
}

/** Starts a proxy and waits until it is ready. The caller stops it. */
export async function startProxyProcess(options: ProxyProcessOptions): Promise<ProxyProcess> {
  const proxy = new ProxyProcess(options);
  try {
    await proxy.untilReady(options);
  } catch (error) {
    await proxy.stop();
    throw error;
  }
  return proxy;
}

/** The same for a test, when it ends stopped and its folder removed: a new one, unless it has one already. */
export async function startProxyFor(
  t: TestContext,
  options: Omit<ProxyProcessOptions, 'folder'> & { readonly folder?: string },
): Promise<ProxyProcess> {
  const folder = options.folder ?? mkdtempSync(join(tmpdir(), `${options.kind}-`));
  const proxy = new ProxyProcess({ ...options, folder });
  t.after(async () => {
    await proxy.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  await proxy.untilReady(options);
  return proxy;
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect({ host: '127.0.0.1', port });
  const accepted = await once(socket, 'connect').then(
    () => true,
    () => false,
  );
  socket.destroy();
  return accepted;
}

/** chancery is told where its hosts file is; Envoy gets a mount of its own (as root). */
function withHosts({ kind, folder, hosts }: ProxyProcessOptions): string[] {
  const file = join(folder, 'hosts');
  writeFileSync(file, `127.0.0.1 localhost\n${hosts}`);
  if (kind === 'chancery') return ['env', `CARES_HOSTS=${file}`];
  return ['unshare', '-m', 'sh', '-c', 'mount --bind "$0" /etc/hosts && exec "$@"', file];
}

function lastLines(text: string): string {
  return text.trimEnd().split('\n').slice(-12).join('\n');
}
