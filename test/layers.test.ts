// The import rules of ARCHITECTURE.md, for every file: rooms import from rows above their own, the hot set is closed.
import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { test } from 'node:test';

const rows = [
  ['base'],
  ['schema', 'stats', 'http'],
  ['config', 'net'],
  ['grpc'],
  ['xds', 'extension', 'admin', 'store'],
  ['data-plane', 'extensions', 'control-plane'],
  ['discovery', 'agent'],
  ['cli', 'testing'],
];

/** Files a request touches once it is under way. They import values only from each other and node:, and never wait or throw. */
const hot: readonly string[] = [
  'src/base/cidr.ts',
  'src/base/timer-wheel.ts',
  'src/base/uint64.ts',
  'src/base/xxhash64.ts',
  'src/base/mersenne-twister.ts',
  'src/base/system-errors.ts',
  'src/base/truncate.ts',
  'src/base/turn.ts',
  'src/base/utf8.ts',
  'src/http/header-map.ts',
  'src/http/header-field.ts',
  'src/http/header-validity.ts',
  'src/http/header-size.ts',
  'src/http/byte-counts.ts',
  'src/http/codec.ts',
  'src/http/h1-options.ts',
  'src/http/connection-header.ts',
  'src/http/h1-client-codec.ts',
  'src/http/h1-error.ts',
  'src/http/h1-parser.ts',
  'src/http/h1-server-codec.ts',
  'src/http/h1-writer.ts',
  'src/http/status.ts',
  'src/http/url.ts',
  'src/http/header-names.ts',
  'src/http/h2-constraints.ts',
  'src/http/h2-frames.ts',
  'src/http/h2-keepalive.ts',
  'src/http/h2-message.ts',
  'src/http/h2-options.ts',
  'src/http/h2-output.ts',
  'src/http/h2-session.ts',
  'src/http/h2-stats.ts',
  'src/http/h2-stream.ts',
  'src/http/h2-stream-table.ts',
  'src/http/h2-upgrade.ts',
  'src/http/hpack-decoder.ts',
  'src/http/hpack-encoder.ts',
  'src/http/hpack-fields.ts',
  'src/http/hpack-huffman.ts',
  'src/stats/metric.ts',
  'src/extension/access-log-filter.ts',
  'src/extension/formatter.ts',
  'src/extensions/access-loggers/file/logger.ts',
  'src/extension/substitution/operator.ts',
  'src/extension/hash-policy.ts',
  'src/extension/header-mutations.ts',
  'src/extension/matchers/filter-state-matcher.ts',
  'src/extension/matchers/header-matcher.ts',
  'src/extension/matchers/matcher-tree.ts',
  'src/extension/matchers/string-matcher.ts',
  'src/extension/runtime.ts',
  'src/data-plane/http/domain-index.ts',
  'src/data-plane/http/path-index.ts',
  'src/data-plane/http/route-entry.ts',
  'src/data-plane/http/route-rewrite.ts',
  'src/data-plane/http/route-table.ts',
  'src/data-plane/http/scoped-routes.ts',
  'src/extension/matchers/value-matcher.ts',
  'src/extension/rate-limit-descriptors.ts',
  'src/http/request-parameters.ts',
  'src/extension/http-filter.ts',
  'src/extension/load-balancer.ts',
  'src/extension/network-filter.ts',
  'src/extension/udp-filter.ts',
  'src/extension/response-flag.ts',
  'src/extension/route-resolution.ts',
  'src/net/connection.ts',
  'src/net/read-by-call.ts',
  'src/net/reset-socket.ts',
  'src/net/udp-socket.ts',
  'src/base/address-text.ts',
  'src/base/random.ts',
  'src/base/read-buffers.ts',
  'src/data-plane/http/connection-manager.ts',
  'src/data-plane/http/premature-resets.ts',
  'src/data-plane/http/filter-plan.ts',
  'src/data-plane/http/forwarded-client-cert.ts',
  'src/data-plane/http/local-reply.ts',
  'src/data-plane/http/manager-config.ts',
  'src/data-plane/http/request-headers.ts',
  'src/data-plane/http/request-id.ts',
  'src/data-plane/http/request-info.ts',
  'src/data-plane/http/response-headers.ts',
  'src/data-plane/http/router.ts',
  'src/data-plane/http/route-stats.ts',
  'src/data-plane/http/stream.ts',
  'src/data-plane/http/stream-duration.ts',
  'src/data-plane/http/grpc-outcome.ts',
  'src/data-plane/http/grpc-timeout.ts',
  'src/data-plane/http/header-number.ts',
  'src/data-plane/listener/accepted-connection.ts',
  'src/data-plane/udp/udp-proxy.ts',
  'src/data-plane/udp/udp-session.ts',
  'src/data-plane/upstream/circuit-breaker.ts',
  'src/data-plane/upstream/cluster-tracking.ts',
  'src/data-plane/upstream/cluster-usage.ts',
  'src/data-plane/upstream/cluster.ts',
  'src/data-plane/upstream/cluster-config.ts',
  'src/data-plane/upstream/health-flags.ts',
  'src/data-plane/upstream/host.ts',
  'src/data-plane/upstream/http-pool.ts',
  'src/data-plane/upstream/transport-options.ts',
  'src/extension/filter-state-keys.ts',
  'src/extension/filter-state-text.ts',
  'src/data-plane/http/auto-sni.ts',
  'src/data-plane/upstream/tcp-codec.ts',
  'src/data-plane/upstream/hash-balancer.ts',
  'src/data-plane/upstream/priority-loads.ts',
  'src/data-plane/upstream/priority-set.ts',
  'src/data-plane/upstream/subset-balancer.ts',
  'src/data-plane/upstream/subsets.ts',
  'src/base/weighted-turns.ts',
  'src/http/path.ts',
  'src/http/forwarded-for.ts',
  'src/data-plane/http/internal-redirect.ts',
  'src/data-plane/http/request-checks.ts',
  'src/data-plane/http/async-request.ts',
  'src/data-plane/http/reset-text.ts',
  'src/data-plane/http/retry-on.ts',
  'src/data-plane/http/retry-state.ts',
  'src/data-plane/http/shadow.ts',
  'src/data-plane/http/upgrade.ts',
  'src/data-plane/http/attempt-filters.ts',
  'src/data-plane/http/attempt-log.ts',
  'src/data-plane/http/upstream-request.ts',
  'src/data-plane/upstream/code-stats.ts',
];

const row = (room: string) => rows.findIndex((rooms) => rooms.includes(room));
const roomOf = (file: string) => file.split('/')[1]!;
const files = globSync('src/**/*.ts', { exclude: ['**/*.test.ts'] });

interface Import {
  readonly specifier: string;
  readonly isType: boolean;
  readonly isDynamic: boolean;
}

function imports(file: string): Import[] {
  const statement =
    /(?:^|\n)\s*(import|export)\s([^'";]*?)from\s*['"]([^'"]+)['"]|(?:^|\n)\s*import\s*['"]([^'"]+)['"]|import\(\s*['"]([^'"]+)['"]/g;
  return [...readFileSync(file, 'utf8').matchAll(statement)].map((match) => ({
    specifier: match[3] ?? match[4] ?? match[5]!,
    isType: /^type\b/.test(match[2] ?? ''),
    isDynamic: match[5] !== undefined,
  }));
}

test('sees the sources', () => {
  assert.ok(files.length > 0);
});

test('rooms import only from rows above their own', () => {
  const wrong: string[] = [];
  for (const file of files) {
    const room = roomOf(file);
    for (const { specifier } of imports(file)) {
      const target = /^#([^/]+)/.exec(specifier)?.[1];
      if (target && target !== room && !(row(target) >= 0 && row(target) < row(room)))
        wrong.push(`${file} -> ${specifier}`);
    }
  }
  assert.deepEqual(wrong, []);
});

test('relative imports stay in their room, and what is imported exists', () => {
  const wrong: string[] = [];
  for (const file of files) {
    for (const { specifier } of imports(file)) {
      const path = specifier.startsWith('.')
        ? normalize(join(dirname(file), specifier))
        : specifier.startsWith('#')
          ? join('src', specifier.slice(1))
          : undefined;
      if (path === undefined) continue;
      if (specifier.startsWith('.') && roomOf(path) !== roomOf(file))
        wrong.push(`${file} -> ${specifier} leaves its room`);
      if (!existsSync(path)) wrong.push(`${file} -> ${specifier} does not exist`);
    }
  }
  assert.deepEqual(wrong, []);
});

test('hot files import values only from hot files and node:, and never wait or throw', () => {
  const wrong: string[] = [];
  for (const file of hot) {
    const source = readFileSync(file, 'utf8').replace(/\/\*[\s\S]*?\*\/|\/\/.*$|'[^'\n]*'/gm, '');
    for (const word of source.match(/\b(async|await|Promise|throw)\b/g) ?? []) wrong.push(`${file}: ${word}`);
    for (const { specifier, isType } of imports(file)) {
      if (isType || specifier.startsWith('node:')) continue;
      const path = specifier.startsWith('.')
        ? normalize(join(dirname(file), specifier))
        : join('src', specifier.slice(1));
      if (!hot.includes(path)) wrong.push(`${file} -> ${specifier}`);
    }
  }
  assert.deepEqual(wrong, []);
});

/** Everything that `file` loads, by static imports. */
function loadedBy(file: string, known = new Set<string>()): ReadonlySet<string> {
  if (known.has(file)) return known;
  known.add(file);
  for (const { specifier, isType, isDynamic } of imports(file)) {
    if (isType || isDynamic || !/^[.#]/.test(specifier)) continue;
    loadedBy(
      specifier.startsWith('.') ? normalize(join(dirname(file), specifier)) : join('src', specifier.slice(1)),
      known,
    );
  }
  return known;
}

test('the main thread loads no codecs and routers, workers load no readers of configuration', () => {
  const main = loadedBy('src/cli/serve.ts');
  const worker = [...loadedBy('src/data-plane/worker.ts')];
  assert.ok(main.has('src/data-plane/http/parse-manager.ts'));
  assert.ok(worker.includes('src/data-plane/http/router.ts'));
  for (const file of ['http/router.ts', 'http/connection-manager.ts', 'upstream/http-pool.ts', 'worker.ts'])
    assert.ok(!main.has(`src/data-plane/${file}`), file);
  assert.deepEqual(
    worker.filter((it) => roomOf(it) === 'config'),
    [],
  );
});
