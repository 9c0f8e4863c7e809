import assert from 'node:assert/strict';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { ParseContext } from '#config/parse-context.ts';
import type { SecretData } from '#extension/secrets/secret-data.ts';
import { create } from '#schema/create.ts';
import { StatsStore } from '#stats/store.ts';
import { certificateFiles, certificatePath } from '#testing/certificates.ts';
import { FileSecrets } from './file-secrets.ts';
import { parseSecrets } from './secrets-config.ts';

const prefix = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3';

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'secrets-'));
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}

function sds(path: string, certificate: object): void {
  writeFileSync(
    `${path}.new`,
    JSON.stringify({ resources: [{ '@type': `${prefix}.Secret`, name: 'front', ...certificate }] }),
  );
  renameSync(`${path}.new`, path);
}

/** Starts with the file; `next` waits for the secret to change. */
async function follow(t: TestContext, path: string) {
  const changes: SecretData[] = [];
  let wake = () => {};
  const store = new StatsStore();
  const unknownFields = store.root.counter('unknown_fields');
  const context = { options: {}, unknownFields, proxy: () => ({ bootstrap: {}, clusters: [] }) };
  const secrets = new FileSecrets(
    [{ key: 'k', name: 'front', source: { path, watchedDirectory: '' }, isCertificate: true }],
    store.root,
    context,
    (_, it) => {
      changes.push(it);
      wake();
    },
  );
  t.after(() => secrets.close());
  await secrets.start();
  const next = async () => {
    while (changes.length === 0)
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    const secret = changes.shift()!;
    assert.ok(secret.kind === 'certificate');
    return secret.value.chain;
  };
  const count = (name: string) => store.root.scope('sds.front').counter(name).value;
  return { secrets, next, count };
}

const chain = (name: string) => certificateText(name);
function certificateText(name: string): string {
  const { secret } = fixed(name);
  assert.ok(secret.kind === 'certificate');
  return secret.value.chain;
}

function fixed(name: string) {
  const bootstrap = create('envoy.config.bootstrap.v3.Bootstrap', {
    static_resources: { secrets: [{ name, tls_certificate: certificateFiles(name) }] },
  });
  return parseSecrets(bootstrap.static_resources, new ParseContext('', [])).fixed[0]!;
}

test('finds static secrets and the files that TLS contexts name', () => {
  const sds_config = {
    path_config_source: { path: '/etc/sds.yaml', watched_directory: { path: '/etc/certs' } },
  };
  const bootstrap = create('envoy.config.bootstrap.v3.Bootstrap', {
    static_resources: {
      secrets: [{ name: 'ca', validation_context: { trusted_ca: { filename: certificatePath('ca') } } }],
      clusters: [
        {
          name: 'c',
          transport_socket: {
            name: 'tls',
            typed_config: {
              '@type': `${prefix}.UpstreamTlsContext`,
              common_tls_context: {
                tls_certificate_sds_secret_configs: [{ name: 'client', sds_config }],
                validation_context_sds_secret_config: { name: 'ca' },
              },
            },
          },
        },
      ],
    },
  });
  const { fixed, files } = parseSecrets(bootstrap.static_resources, new ParseContext('', []));
  assert.deepEqual(
    fixed.map(({ key, secret }) => [key, secret.kind]),
    [['ca', 'validation']],
  );
  assert.deepEqual(
    files.map(({ name, source, isCertificate }) => ({ name, source, isCertificate })),
    [
      {
        name: 'client',
        source: { path: '/etc/sds.yaml', watchedDirectory: '/etc/certs' },
        isCertificate: true,
      },
    ],
  );
});

test('a validation context is no certificate', async (t) => {
  const path = join(folder(t), 'sds.json');
  sds(path, { validation_context: { trusted_ca: { filename: certificatePath('ca') } } });
  const { secrets, next, count } = await follow(t, path);
  assert.equal(count('update_rejected'), 1);
  assert.deepEqual([...secrets.current()], []);
  sds(path, { tls_certificate: certificateFiles('client') });
  assert.equal(await next(), chain('client'));
});

test('follows the symlink swap of a Kubernetes volume', async (t) => {
  const root = folder(t);
  for (const [version, name] of [
    ['1', 'client'],
    ['2', 'server-ec'],
  ] as const) {
    mkdirSync(join(root, `..${version}`));
    copyFileSync(certificatePath(name), join(root, `..${version}`, 'tls.crt'));
    copyFileSync(certificatePath(`${name}-key`), join(root, `..${version}`, 'tls.key'));
  }
  symlinkSync('..1', join(root, '..data'));
  symlinkSync('..data/tls.crt', join(root, 'tls.crt'));
  symlinkSync('..data/tls.key', join(root, 'tls.key'));
  const config = folder(t);
  sds(join(config, 'sds.yaml'), {
    tls_certificate: {
      certificate_chain: { filename: join(root, 'tls.crt') },
      private_key: { filename: join(root, 'tls.key') },
      watched_directory: { path: root },
    },
  });
  const { secrets, next } = await follow(t, join(config, 'sds.yaml'));
  assert.equal(await next(), chain('client'));
  symlinkSync('..2', join(root, '..data_tmp'));
  renameSync(join(root, '..data_tmp'), join(root, '..data'));
  assert.equal(await next(), chain('server-ec'));
  assert.equal([...secrets.current()].length, 1);
});

test('keeps the old pair while only half of the new one is written', async (t) => {
  const root = folder(t);
  const files = {
    certificate_chain: { filename: join(root, 'crt') },
    private_key: { filename: join(root, 'key') },
  };
  const write = (name: string, part: 'crt' | 'key') =>
    copyFileSync(certificatePath(part === 'crt' ? name : `${name}-key`), join(root, part));
  write('client', 'crt');
  write('client', 'key');
  sds(join(root, 'sds.json'), { tls_certificate: files });
  const { secrets, next, count } = await follow(t, join(root, 'sds.json'));
  assert.equal(await next(), chain('client'));
  write('server-ec', 'crt');
  assert.equal([...secrets.current()][0]![1].kind, 'certificate');
  write('server-ec', 'key');
  assert.equal(await next(), chain('server-ec'));
  assert.deepEqual([count('update_success'), count('update_rejected')], [1, 0]);
});

test('refuses what is not the secret, and goes on with the one it has', async (t) => {
  const root = folder(t);
  const path = join(root, 'sds.json');
  sds(path, { tls_certificate: certificateFiles('client') });
  const { secrets, next, count } = await follow(t, path);
  assert.equal(await next(), chain('client'));
  sds(path, { name: 'other', tls_certificate: certificateFiles('server-ec') });
  while (count('update_rejected') < 1) await new Promise((resolve) => setImmediate(resolve));
  assert.equal([...secrets.current()].length, 1);
  sds(path, { tls_certificate: certificateFiles('server-ec') });
  assert.equal(await next(), chain('server-ec'));
  assert.deepEqual([count('update_attempt'), count('update_success')], [3, 2]);
  const { certificate_chain, private_key } = secrets.message('k')!.tls_certificate!;
  assert.match(Buffer.from(certificate_chain!.inline_bytes!).toString(), /BEGIN CERTIFICATE/);
  assert.equal(private_key!.filename, undefined);
});

test('takes a file that comes late', async (t) => {
  const root = folder(t);
  const path = join(root, 'sds.yaml');
  const { secrets, next } = await follow(t, path);
  assert.deepEqual([...secrets.current()], []);
  sds(path, { tls_certificate: certificateFiles('client') });
  assert.equal(await next(), chain('client'));
});
