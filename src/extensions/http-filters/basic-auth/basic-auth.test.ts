import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ConfigError } from '#config/config-error.ts';
import { ParseContext } from '#config/parse-context.ts';
import type { DataSource } from '#schema/messages/envoy/config/core/v3.ts';
import type { BasicAuth } from '#schema/messages/envoy/extensions/filters/http/basic_auth/v3.ts';
import { frontProxyYaml, startProxy } from '#testing/start-proxy.ts';
import { parseBasicAuth } from './config.ts';

const hash = '{SHA}GpHWL3ymc5liWkNopqtdSjuqYHM=';
const user = (credentials: string) => ({
  authorization: `Basic ${Buffer.from(credentials).toString('base64')}`,
});

const files: readonly (readonly [string, string])[] = [
  ['', 'DataSource cannot be empty'],
  ['bob', 'basic auth: invalid htpasswd format, username:password is expected'],
  ['bob:', 'basic auth: empty user name or password'],
  [`:${hash}`, 'basic auth: empty user name or password'],
  ['bob:pw', 'basic auth: unsupported htpasswd format: please use {SHA}'],
  ['bob:{SHA}abc', 'basic auth: invalid htpasswd format, invalid SHA hash length'],
  [`bob:${hash}\r\n`, 'basic auth: invalid htpasswd format, invalid SHA hash length'],
  [`bob:${hash}\nbob:${hash}`, 'basic auth: duplicate users'],
];
for (const [text, problem] of files) {
  test(`refuses the users ${JSON.stringify(text)}`, () => {
    const problems: ConfigError[] = [];
    const users = { inline_string: text } as DataSource;
    const message = { users, forward_username_header: '', authentication_header: '' } as BasicAuth;
    parseBasicAuth(message, new ParseContext('', problems));
    assert.deepEqual(
      problems.map((it) => it.message),
      [`users: ${problem}`],
    );
  });
}

async function startWith(t: Parameters<typeof startProxy>[0], fields: object) {
  const filter = {
    name: 'envoy.filters.http.basic_auth',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.filters.http.basic_auth.v3.BasicAuth',
      users: { inline_string: `# users\n\nbob:${hash}\n` },
      ...fields,
    },
  };
  return startProxy(t, frontProxyYaml({ to: 1, httpFilters: [filter] }));
}

test('lets only those pass who know the password', async (t) => {
  const proxy = await startWith(t, {});
  // There is no upstream: 503 is what passes.
  const answers: readonly (readonly [object, number, string])[] = [
    [user('bob:pw'), 503, ''],
    [{}, 401, 'Missing username and password.'],
    [{ authorization: 'Bearer x' }, 401, "Expected 'Basic' authentication scheme."],
    [{ authorization: 'basic Ym9iOnB3' }, 401, "Expected 'Basic' authentication scheme."],
    [{ authorization: 'Basic !!!' }, 401, 'Invalid basic credential format.'],
    [user('bobpw'), 401, 'Invalid basic credential format.'],
    [user('bob:no'), 401, 'Invalid username/password combination.'],
    [user('eve:pw'), 401, 'Invalid username/password combination.'],
    [user('bob:'), 401, 'Invalid username/password combination.'],
  ];
  for (const [headers, status, problem] of answers) {
    const answer = await proxy.get('/x?y', { host: 'a', ...headers });
    assert.equal(answer.status, status);
    if (status !== 401) continue;
    assert.equal(answer.body, `User authentication failed. ${problem}`);
    assert.equal(answer.headers['www-authenticate'], 'Basic realm="http://a/x?y"');
  }
});

test('the realm is quoted, the header may be another, and who says nothing may pass', async (t) => {
  const proxy = await startWith(t, {
    realm: 'my "realm"',
    authentication_header: 'X-Auth',
    allow_missing: true,
  });
  assert.equal((await proxy.get('/', user('bob:no'))).status, 503);
  const refused = await proxy.get('/', { 'x-auth': user('bob:no').authorization });
  assert.equal(refused.status, 401);
  assert.equal(refused.headers['www-authenticate'], 'Basic realm="my \\"realm\\""');
});
