// Every recorded command line: the same exit code and output, Envoy's words where users search for them, and for a configuration that is
// refused the line and column of the mistake.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const root = join(import.meta.dirname, '../..');
const folder = join(root, 'test/golden/07-cli');

/** Where the mistake is, for us to say. */
const places: Readonly<Record<string, string>> = {
  'bad-access-log-format': '42:34: error: there is no command "NOPE" [format-string]',
  'bad-address': '11:18: error: "not-an-ip" is not an IP address [malformed-address]',
  'bad-duration-ms': '38:22',
  'bad-duration-no-unit': '38:22',
  'bad-enum':
    '39:16: error: unknown value "ROUND_ROBBIN" for the enum envoy.config.cluster.v3.Cluster.LbPolicy [unknown-enum-value]',
  'bad-extension': '1:1',
  'bad-header-format': '34:28: error: there is no command "FOO" [format-string]',
  'bad-regex': '29:28: error: the regular expression "(a" is not valid: missing ): (a [invalid-regex]',
  'bad-tls-cert': '42:17: error: the certificate cannot be read [tls-certificate]',
  'bad-yaml-syntax': '3:3: error: illegal block entry [syntax]',
  'bad-yaml-tab': '2:11: error: illegal map value [syntax]',
  'duplicate-cluster-name': '49:11',
  'duplicate-filter-name': '32:13',
  'duplicate-listener-address': '37:7',
  'duplicate-star-domain': '33:17: error: the virtual host "a" has the domain "*" too [duplicate-domain]',
  'duplicate-virtual-host-domain':
    '33:17: error: the virtual host "a" has the domain "x.com" too [duplicate-domain]',
  'eds-path-missing-file': '43:17: error: the file "./nope.yaml" does not exist [missing-file]',
  'forbidden-header': '33:26',
  'hcm-not-terminal': '15:9',
  'hostname-hashing-on-static': '51:35',
  'maglev-not-prime': '50:19: error: 100 is not a prime number [hash-table-size]',
  'missing-cluster-in-route': '30:28: error: the cluster "nope" is not defined [unknown-cluster]',
  'missing-cluster-name': '36:5: error: "name" is missing [missing-required]',
  'missing-rds-or-route-config': '17:11',
  'missing-required-stat-prefix': '16:9: error: "stat_prefix" is missing [missing-required]',
  'missing-route-match': '27:17: error: "match" is missing [missing-required]',
  'missing-vhost-domains': '23:15: error: "domains" is missing [missing-required]',
  'port-negative': '12:21: error: -1 is out of range for uint32 [out-of-range]',
  'port-too-large': '12:21: error: value must be less than or equal to 65535, got 70000 [constraint]',
  'prefix-and-path': '29:19',
  'ring-hash-bad-size': '50:7',
  'tls-bad-key': '63:17: error: the private key cannot be read [tls-certificate]',
  'tls-key-mismatch': '63:17: error: the private key does not belong to the certificate [tls-certificate]',
  'tls-no-certificate': '38:11: error: a server needs a certificate [tls-certificate]',
  'unknown-field': '35:11',
  'unknown-field-bootstrap': '49:1',
  'wrong-type-list-for-object': '8:5: error: expected a list of Listener, got an object [object-for-list]',
  'xds-no-node-id': '50:3',
  'xds-v2-api': '56:30: error: the v2 protocol is gone [xds-config]',
  'yaml-anchor-merge': '11:9: error: no such field: "<<"',
  'yaml-comment-only': '1:1: error: the file has no configuration in it [empty-file]',
  'yaml-plain-n-is-boolean': '1:12: error: expected a string, got the boolean false [wrong-type]',
  'zero-connect-timeout': '38:22: error: value must be greater than 0s [constraint]',
};

/** Starts a proxy on a port that is taken: played with the listeners, not here. */
const elsewhere = new Set(['listener-port-in-use', 'init-only']);
/** Their output names our version and flags. */
const ownOutput = new Set(['help', 'version']);

const cases = readdirSync(folder).filter(
  (it) => existsSync(join(folder, it, 'case.md')) && !elsewhere.has(it),
);

test('there is a place for every configuration that Envoy refuses', () => {
  assert.ok(cases.length >= 60, `${cases.length} cases`);
  const refused = cases.filter(
    (it) =>
      exitCode(it) !== 0 && /error initializing/.test(recorded(it, 'stderr.txt')) && it !== 'missing-file',
  );
  assert.deepEqual(refused.sort(), Object.keys(places).sort());
});

test('plays every recorded command line', { concurrency: 2 }, async (t) => {
  const played = cases.map((name) => t.test(name, () => play(name)));
  await Promise.all(played);
});

async function play(name: string): Promise<void> {
  const { code, stdout, stderr } = await chancery(argumentsOf(name), join(folder, name));
  assert.equal(code, exitCode(name), stderr);
  if (ownOutput.has(name)) return;
  assert.equal(stdout, recorded(name, 'stdout.txt'));
  const place = places[name];
  if (place !== undefined) {
    const file = readdirSync(join(folder, name)).find((it) => it.startsWith('envoy.'));
    assert.ok(stderr.includes(`${file}:${place}`), `says ${file}:${place}\n${stderr}`);
  }
  const words = wordsOf(name);
  if (words !== undefined)
    assert.ok(stderr.replace(/\s+/g, ' ').includes(words), `says "${words}"\n${stderr}`);
}

function argumentsOf(name: string): string[] {
  const line = /Run: `envoy (.*)` \(/.exec(recorded(name, 'case.md'))![1]!;
  // The quoting of a shell, as far as the recordings use it.
  const words: string[] = [];
  for (const [whole] of line.matchAll(/(?:'[^']*'|"[^"]*"|[^\s'"])+/g)) {
    words.push(
      whole.replace(/'([^']*)'|"([^"]*)"/g, (_, single?: string, double?: string) => single ?? double ?? ''),
    );
  }
  return words;
}

/** The part of Envoy's message that is the same in ours: not the position in the JSON that it makes of YAML, not the message as text. */
function wordsOf(name: string): string | undefined {
  const text = recorded(name, 'stderr.txt').replace(/\s+/g, ' ');
  const message = /error initializing configuration '[^']*': (.*?)(?: \[\d{4}-.*)?$/.exec(text)?.[1]?.trim();
  if (message === undefined) return undefined;
  const constraint = /Proto constraint validation failed \(.*\)$/.exec(message)?.[0];
  if (constraint !== undefined) return constraint;
  const unknown = /(?:no such field|unknown enum value): '[^']*'\) has unknown fields$/.exec(message)?.[0];
  if (unknown !== undefined) return unknown;
  if (message.startsWith('Unable to parse JSON'))
    return /\(offset \d+\): (.*?)\)?\): /.exec(message)?.[1]?.replace(/; expected.*/, '');
  if (/goo\.gle|Unable to convert/.test(message)) return undefined;
  return message;
}

function exitCode(name: string): number {
  return Number(recorded(name, 'exit-code.txt'));
}

function recorded(name: string, file: string): string {
  const path = join(folder, name, file);
  return existsSync(path) ? readFileSync(path, 'utf8') : '';
}

function chancery(
  args: readonly string[],
  cwd: string,
): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((done) => {
    const child = spawn(process.execPath, [join(root, 'src/cli/main.ts'), 'proxy', ...args], {
      cwd,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.on('close', (code) => done({ code: code ?? -1, stdout, stderr }));
  });
}
