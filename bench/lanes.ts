// What is measured. A load lane gives CPU per request of the proxy; the others give a number of their own.
import type { Service } from './configurations.ts';
import { datagrams, fixedRate, h2load, handshakes, type LoadResult, uploads, wrk } from './load.ts';

export interface Target {
  readonly port: number;
  readonly upstreamPort: number;
  readonly seconds: number;
  /** 1 MiB. */
  readonly bigBody: Buffer;
}

export interface LoadLane {
  readonly name: string;
  readonly title: string;
  /** The goal for ours / Envoy. */
  readonly goal: number;
  readonly service?: Partial<Omit<Service, 'tls'>>;
  /** Another than `startUpstream` takes for the protocol. */
  readonly upstream?: 'nginx' | 'nghttpd';
  readonly tls?: 'h2' | 'http/1.1';
  readonly clientSpeaksH2?: boolean;
  readonly load: (target: Target) => Promise<LoadResult>;
  /** How long handshakes and the like are warmed up, in seconds. */
  readonly warmUp?: number;
  /** At least so many rounds, where one differs much from another. */
  readonly rounds?: number;
  /** Also compare p50 and p99, with their goals. */
  readonly latencyGoals?: readonly [p50: number, p99: number];
}

const http = ({ port }: Target, path = '/') => `http://127.0.0.1:${port}${path}`;
const https = ({ port }: Target) => `https://127.0.0.1:${port}/`;

const h1ToH2: LoadLane = {
  name: 'h1-h2',
  title: 'HTTP/1.1 to HTTP/2',
  goal: 0.6,
  service: { upstream: 'h2' },
  load: (to) => wrk({ seconds: to.seconds, url: http(to) }),
};

const h2ToH2: LoadLane = {
  name: 'h2-h2',
  title: 'HTTP/2 to HTTP/2, clear text',
  goal: 0.6,
  service: { upstream: 'h2' },
  clientSpeaksH2: true,
  load: (to) => h2load({ seconds: to.seconds, url: http(to) }),
};

/** As requests come to go together, or one by one, HTTP/2 to HTTP/2 costs 9 or 17 us: more rounds. */
const behindNginx = (lane: LoadLane): LoadLane => ({
  ...lane,
  name: `${lane.name}-nginx`,
  title: `${lane.title}, the upstream is the bottleneck`,
  rounds: 9,
  upstream: 'nginx',
});

export const loadLanes: readonly LoadLane[] = [
  {
    name: 'h1-h1',
    title: 'HTTP/1.1 to HTTP/1.1, keep-alive',
    goal: 0.6,
    load: (to) => wrk({ seconds: to.seconds, url: http(to) }),
  },
  {
    name: 'h2c-h1',
    title: 'HTTP/2 in clear text to HTTP/1.1',
    goal: 0.55,
    clientSpeaksH2: true,
    load: (to) => h2load({ seconds: to.seconds, url: http(to) }),
  },
  {
    name: 'tls-h1',
    title: 'HTTP/1.1 over TLS to HTTP/1.1',
    goal: 0.65,
    tls: 'http/1.1',
    load: (to) => wrk({ seconds: to.seconds, url: https(to) }),
  },
  {
    name: 'tls-h2',
    title: 'HTTP/2 over TLS to HTTP/1.1',
    goal: 0.55,
    tls: 'h2',
    clientSpeaksH2: true,
    load: (to) => h2load({ seconds: to.seconds, url: https(to) }),
  },
  h1ToH2,
  h2ToH2,
  behindNginx(h1ToH2),
  behindNginx(h2ToH2),
  {
    name: 'filters',
    title: 'HTTP/1.1, five filters and an access log',
    goal: 0.65,
    service: { filters: true, accessLog: 'access.log' },
    load: (to) => wrk({ seconds: to.seconds, url: http(to) }),
  },
  {
    name: 'download',
    title: '1 MiB responses over HTTP/1.1',
    goal: 1.1,
    load: (to) => wrk({ seconds: to.seconds, url: http(to, '/big'), connections: 8 }),
  },
  {
    name: 'h2-download',
    title: '1 MiB responses over HTTP/2, from HTTP/1.1',
    goal: 1.1,
    clientSpeaksH2: true,
    load: (to) => h2load({ seconds: to.seconds, url: http(to, '/big'), connections: 2, streams: 4 }),
  },
  {
    name: 'upload',
    title: '1 MiB requests over HTTP/1.1',
    goal: 1.1,
    load: (to) => uploads({ seconds: to.seconds, url: http(to, '/upload') }, to.bigBody),
  },
  {
    name: 'tcp-pingpong',
    title: 'small messages there and back through tcp_proxy',
    goal: 1.05,
    service: { tcp: true },
    load: (to) => wrk({ seconds: to.seconds, url: http(to) }),
  },
  {
    name: 'tcp-bulk',
    title: '1 MiB at a time through tcp_proxy',
    goal: 1.1,
    service: { tcp: true },
    load: (to) => wrk({ seconds: to.seconds, url: http(to, '/big'), connections: 8 }),
  },
  {
    name: 'connect',
    title: 'one connection per request',
    goal: 1,
    load: (to) =>
      wrk({ seconds: to.seconds, url: http(to), connections: 16, headers: { connection: 'close' } }),
  },
  {
    name: 'handshake',
    title: 'TLS 1.3 handshakes, full',
    goal: 1.2,
    tls: 'http/1.1',
    load: (to) => handshakes(to.port, to.seconds, false),
  },
  {
    name: 'resume',
    title: 'TLS 1.3 handshakes, resumed',
    goal: 2,
    // A round of Envoy's costs from 190 to 280 us.
    rounds: 9,
    tls: 'http/1.1',
    load: (to) => handshakes(to.port, to.seconds, true),
  },
  {
    name: 'routes',
    title: '5,000 routes, the last one',
    goal: 0.2,
    service: { routes: 5000 },
    load: (to) => wrk({ seconds: to.seconds, url: http(to, '/service-4999/api') }),
  },
  {
    name: 'hosts',
    title: '5,000 virtual hosts, the last one',
    goal: 0.65,
    service: { virtualHosts: 5000 },
    load: (to) => wrk({ seconds: to.seconds, url: http(to), headers: { Host: 'host-4999.example.com' } }),
  },
  {
    name: 'udp',
    title: 'UDP round trips of 64 bytes, 32 sessions',
    goal: 1.15,
    service: { udp: true },
    load: (to) => datagrams(to.port, to.upstreamPort, to.seconds),
  },
  {
    name: 'latency',
    title: '3,000 requests/s over HTTP/1.1',
    goal: 1,
    // One pause of the machine is a whole round's p99.
    rounds: 9,
    latencyGoals: [1.05, 1.2],
    load: (to) => fixedRate({ seconds: to.seconds, url: http(to) }, 3000),
  },
];
