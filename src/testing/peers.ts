// The real programs that suites compare us with or lean on. tools/peers.sh installs them; a suite that lacks one says so and skips,
// or fails when REQUIRE_PEERS=1, which CI sets.
import { accessSync, constants, globSync } from 'node:fs';
import { delimiter, join } from 'node:path';

const root = join(import.meta.dirname, '../..');

/** Where a peer is looked for, in order; a bare name means the PATH. */
const places = {
  // The program itself, not the Python launcher around it: its start time and its process tree are measured.
  envoy: ['.cache/envoy/lib/python3*/site-packages/envoy/_bin/envoy', 'envoy'],
  h2spec: ['.cache/bin/h2spec', 'h2spec'],
  grpcurl: ['.cache/bin/grpcurl', 'grpcurl'],
  wrk: ['wrk'],
  h2load: ['h2load'],
  nghttpd: ['nghttpd', '/usr/sbin/nghttpd'],
  nginx: ['nginx', '/usr/sbin/nginx'],
  haproxy: ['haproxy', '/usr/sbin/haproxy'],
  openssl: ['openssl'],
  curl: ['curl'],
} as const;

export type PeerName = keyof typeof places;

/** The path of a peer, or undefined when it is not installed. */
export function findPeer(name: PeerName): string | undefined {
  for (const place of places[name]) {
    if (place.startsWith('.cache/')) {
      const found = globSync(place, { cwd: root })[0];
      if (found !== undefined && isExecutable(join(root, found))) return join(root, found);
      continue;
    }
    if (place.startsWith('/')) {
      if (isExecutable(place)) return place;
      continue;
    }
    for (const folder of (process.env.PATH ?? '').split(delimiter)) {
      const path = join(folder, place);
      if (isExecutable(path)) return path;
    }
  }
  return undefined;
}

/** The path of a peer; fails when it is absent. A test declares what it needs with `skip: missing(...)`. */
export function peer(name: PeerName): string {
  const path = findPeer(name);
  if (path === undefined) throw new Error(`${name} is not installed; tools/peers.sh installs it`);
  return path;
}

/** For the `skip` of a test: what is missing, or false. With REQUIRE_PEERS=1 the test runs, and fails at `peer`. */
export function missing(...names: readonly PeerName[]): string | false {
  if (process.env.REQUIRE_PEERS === '1') return false;
  const absent = names.filter((name) => findPeer(name) === undefined);
  return absent.length > 0 && `${absent.join(', ')} not installed (tools/peers.sh installs it)`;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
