// Random configurations on both sides: every listener is one of them, and every request is asked of both.
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePorts } from '#testing/free-ports.ts';
import { type ProxyKind, type ProxyProcess, startProxyProcess } from '#testing/proxy-process.ts';
import { quickLogs, withoutPort } from '../black-box.ts';
import { diffLines, normalize } from '../golden/compare.ts';
import { requestLength } from '../golden/scripted-upstream.ts';
import { connectionKey } from '../http-exchanges.ts';
import { dechunk } from './dechunk.ts';
import { type Json, type RandomConfiguration, randomConfiguration } from './random-configurations.ts';
import { type UpstreamBehaviour, upstreamBehaviours } from './random-requests.ts';

export interface ConfigurationOptions {
  readonly seed: number;
  readonly configurations: number;
  readonly requests: number;
  /** Only the configuration of this number. */
  readonly only?: number;
  readonly second?: ProxyKind;
}

export interface ConfigurationDifference {
  readonly number: number;
  readonly configuration: RandomConfiguration;
  readonly request: string;
  readonly lines: readonly string[];
}

export async function compareConfigurations(
  options: ConfigurationOptions,
): Promise<ConfigurationDifference[]> {
  const { seed, configurations, requests, only, second = 'chancery' } = options;
  const numbers = Array.from({ length: configurations }, (_, i) => i).filter(
    (it) => only === undefined || it === only,
  );
  if (only !== undefined && numbers.length === 0) numbers.push(only);
  const all = numbers.map((it) => randomConfiguration(seed, it, requests));
  const sides = await Promise.all([Side.start('envoy', all), Side.start(second, all)]);
  try {
    const differences: ConfigurationDifference[] = [];
    let asked = all.flatMap((configuration, i) => configuration.requests.map((_, k) => ({ i, k })));
    // Some outcomes hang on who was faster: what differs is asked again.
    for (let round = 0; round < 3 && asked.length > 0; round++) {
      differences.length = 0;
      const [theirs, ours] = await Promise.all(sides.map((it) => it.play(asked)));
      const again: typeof asked = [];
      asked.forEach((which, n) => {
        const lines = compareOutcomes(theirs![n]!, ours![n]!);
        if (lines.length === 0) return;
        again.push(which);
        const configuration = all[which.i]!;
        differences.push({
          number: numbers[which.i]!,
          configuration,
          request: configuration.requests[which.k]!,
          lines,
        });
      });
      asked = again;
    }
    return differences;
  } finally {
    for (const side of sides) await side.stop();
  }
}

type Outcome = Readonly<Record<'response' | 'upstream' | 'mirrored' | 'log', string>>;

function compareOutcomes(envoy: Outcome, ours: Outcome): string[] {
  const lines: string[] = [];
  for (const what of ['response', 'upstream', 'mirrored', 'log'] as const) {
    const difference = diffLines(envoy[what].split('\n'), ours[what].split('\n'));
    if (difference.length > 0) lines.push(`${what}:`, ...difference.map((line) => `  ${line}`));
  }
  return lines;
}

const address = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } });
const cluster = (name: string, port: number | undefined): Json => ({
  name,
  type: 'STATIC',
  connect_timeout: '1s',
  metadata: { filter_metadata: { m: { a: 'of the cluster' } } },
  circuit_breakers: { thresholds: [{ max_retries: 1000 }, { priority: 'HIGH', max_retries: 1000 }] },
  load_assignment: {
    cluster_name: name,
    endpoints: port === undefined ? [] : [{ lb_endpoints: [{ endpoint: { address: address(port) } }] }],
  },
});

class Side {
  readonly #proxy: ProxyProcess;
  readonly #configurations: readonly RandomConfiguration[];
  readonly #ports: readonly number[];
  readonly #hidden: readonly number[];
  readonly #folder: string;
  readonly #upstreams: readonly Upstream[];

  private constructor(
    proxy: ProxyProcess,
    configurations: readonly RandomConfiguration[],
    ports: readonly number[],
    hidden: readonly number[],
    folder: string,
    upstreams: readonly Upstream[],
  ) {
    this.#proxy = proxy;
    this.#configurations = configurations;
    this.#ports = ports;
    this.#hidden = hidden;
    this.#folder = folder;
    this.#upstreams = upstreams;
  }

  static async start(kind: ProxyKind, configurations: readonly RandomConfiguration[]): Promise<Side> {
    const [admin, up, mirror, dead, ...ports] = await freePorts(configurations.length + 4);
    const upstreams = await Promise.all([Upstream.listen(up!), Upstream.listen(mirror!)]);
    const folder = mkdtempSync(join(tmpdir(), 'configurations-'));
    const bootstrap = {
      node: { id: 'node', cluster: 'here' },
      admin: { address: { ...address(admin!) } },
      static_resources: {
        clusters: [
          cluster('up', up),
          cluster('mirror', mirror),
          cluster('dead', dead),
          cluster('empty', undefined),
        ],
        listeners: configurations.map(({ manager }, i) => ({
          name: `listener${i}`,
          address: address(ports[i]!),
          filter_chains: [{ filters: [asFilter(manager)] }],
        })),
      },
    };
    const proxy = await startProxyProcess({
      kind,
      folder,
      yaml: JSON.stringify(bootstrap),
      adminPort: admin!,
      arguments: quickLogs,
    });
    return new Side(proxy, configurations, ports, [...ports, up!, mirror!, dead!], folder, upstreams);
  }

  async stop(): Promise<void> {
    await this.#proxy.stop();
    for (const it of this.#upstreams) it.close();
    rmSync(this.#folder, { recursive: true });
  }

  async play(asked: readonly { readonly i: number; readonly k: number }[]): Promise<Outcome[]> {
    for (const it of this.#upstreams) it.seen.clear();
    const played: { key: string; response: string }[] = [];
    let next = 0;
    await Promise.all(
      Array.from({ length: 8 }, async () => {
        while (next < asked.length) {
          const n = next++;
          const { i, k } = asked[n]!;
          played[n] = await ask(this.#ports[i]!, this.#configurations[i]!.requests[k]!, `${i}.${k}`);
        }
      }),
    );
    await sleep(400);
    const log = new Map<string, string>();
    for (const line of readFileSync(join(this.#folder, 'access.log'), 'latin1').split('\n')) {
      const space = line.indexOf(' ');
      log.set(line.slice(0, space), `${log.get(line.slice(0, space)) ?? ''}${line.slice(space + 1)}\n`);
    }
    return asked.map(({ i, k }, n) => ({
      response: this.#comparable(played[n]!.response),
      upstream: this.#comparable(this.#upstreams[0]!.seen.get(`${i}.${k}`) ?? ''),
      mirrored: this.#comparable(this.#upstreams[1]!.seen.get(`${i}.${k}`) ?? ''),
      log: this.#comparable(log.get(played[n]!.key) ?? ''),
    }));
  }

  #comparable(text: string): string {
    let comparable = normalize(dechunk(text)).replace(/⟨ms \d+⟩/g, '⟨ms⟩');
    this.#hidden.forEach((port, i) => {
      comparable = withoutPort(comparable, port, `⟨port ${i}⟩`);
    });
    return comparable;
  }
}

function asFilter(manager: Json): Json {
  return {
    name: 'http',
    typed_config: {
      '@type':
        'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
      stat_prefix: 'ingress',
      access_log: [
        {
          name: 'file',
          typed_config: {
            '@type': 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog',
            path: 'access.log',
            log_format: {
              text_format_source: {
                inline_string: `${connectionKey} %REQ(:METHOD)% %REQ(:PATH)% %REQ(:AUTHORITY)% %PROTOCOL% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% route=%ROUTE_NAME% cluster=%UPSTREAM_CLUSTER% virtual=%VIRTUAL_CLUSTER_NAME% rx=%BYTES_RECEIVED% tx=%BYTES_SENT% tries=%UPSTREAM_REQUEST_ATTEMPT_COUNT% from=%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% state=%FILTER_STATE(state:PLAIN)% host=%UPSTREAM_HOST% failure=%UPSTREAM_TRANSPORT_FAILURE_REASON% id=%STREAM_ID% grpc=%GRPC_STATUS_NUMBER% close=%UPSTREAM_DETECTED_CLOSE_TYPE% names=%UPSTREAM_HOST_NAMES_ATTEMPTED%\n`,
              },
            },
          },
        },
      ],
      ...manager,
    },
  };
}

/** One request on a connection of its own, until its response is complete. */
async function ask(port: number, request: string, exchange: string) {
  const socket: Socket = connect({ host: '127.0.0.1', port, noDelay: true });
  await once(socket, 'connect');
  const key = `${socket.localPort}-${port}`;
  let text = '';
  let isOver = false;
  await new Promise<void>((resolve) => {
    const patience = setTimeout(resolve, 4000);
    const end = () => {
      isOver = true;
      clearTimeout(patience);
      resolve();
    };
    socket.on('data', (bytes: Buffer) => {
      text += bytes.toString('latin1');
      if (!isOver && isComplete(text, request.startsWith('HEAD '))) setTimeout(end, 5);
    });
    socket.on('close', end);
    socket.on('error', () => {});
    socket.write(request.replace('\r\n', `\r\nx-exchange: ${exchange}\r\n`), 'latin1');
  });
  socket.destroy();
  return { key, response: text };
}

function isComplete(text: string, isHead: boolean): boolean {
  const end = text.indexOf('\r\n\r\n');
  if (end < 0) return false;
  const status = Number(text.slice(9, 12));
  const rest = text.slice(end + 4);
  if (status >= 100 && status < 200 && status !== 101) return isComplete(rest, isHead);
  if (isHead || status === 204 || status === 304) return true;
  const head = text.slice(0, end).toLowerCase();
  const length = /\r\ncontent-length: (\d+)/.exec(head)?.[1];
  if (length !== undefined) return rest.length >= Number(length);
  if (head.includes('\r\ntransfer-encoding: chunked')) return /(^|\r\n)0\r\n(.*\r\n)*\r\n$/.test(rest);
  return status === 101 && rest.length > 0;
}

/** Answers by the last segment of the path, and keeps what it saw by exchange. */
class Upstream {
  readonly seen = new Map<string, string>();
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor() {
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      this.#sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => this.#sockets.delete(socket));
      this.#serve(socket);
    });
  }

  static async listen(port: number): Promise<Upstream> {
    const upstream = new Upstream();
    upstream.#server.listen(port, '127.0.0.1');
    await once(upstream.#server, 'listening');
    return upstream;
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }

  #serve(socket: Socket): void {
    let pending = '';
    socket.on('data', (bytes) => {
      pending += bytes.toString('latin1');
      for (;;) {
        const length = requestLength(pending);
        if (length === undefined) return;
        const raw = pending.slice(0, length);
        pending = pending.slice(length);
        const exchange = /\r\nx-exchange: ([\d.]+)/i.exec(raw)?.[1] ?? '';
        this.seen.set(exchange, (this.seen.get(exchange) ?? '') + raw);
        if (!answer(socket, raw)) return;
      }
    });
  }
}

/** False when the connection ends with it. */
function answer(socket: Socket, raw: string): boolean {
  const name = /^\S+ [^ ?#]*\/([\w-]+)/.exec(raw)?.[1] as UpstreamBehaviour | undefined;
  const behaviour = name !== undefined && name in upstreamBehaviours ? name : 'ok';
  if (behaviour === 'reset') {
    socket.resetAndDestroy();
    return false;
  }
  // A switch of protocols nobody asked for is a mistake of its own.
  const text = upstreamBehaviours[behaviour === 'websocket' && !/\r\nupgrade:/i.test(raw) ? 'ok' : behaviour];
  socket.write(raw.startsWith('HEAD ') ? text.slice(0, text.lastIndexOf('\r\n\r\n') + 4) : text, 'latin1');
  if (behaviour.endsWith('close')) {
    socket.end();
    return false;
  }
  return true;
}
