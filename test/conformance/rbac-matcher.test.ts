// The matcher of the rbac filters through the real Envoy and through us: verdicts, statistics, log lines.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { test } from 'node:test';
import { missing } from '#testing/peers.ts';
import { expectSame, type Side } from './side-by-side.ts';
import { accessLog, address, connectionManager, typed } from './side-by-side-configuration.ts';

const action = (name: string, verdict: string) => ({
  action: typed('config.rbac.v3.Action', { name, action: verdict }),
});
const header = (name: string) => typed('type.matcher.v3.HttpRequestHeaderMatchInput', { header_name: name });
const connection = (input: string) => typed(`extensions.matching.common_inputs.network.v3.${input}`);
const single = (input: object, value: object) => ({
  single_predicate: { input, value_match: value },
});
const within = (input: object, ...ranges: string[]) => ({
  single_predicate: {
    input,
    custom_match: typed('extensions.matching.input_matchers.ip.v3.Ip', {
      stat_prefix: 'ip',
      cidr_ranges: ranges.map((it) => {
        const [address_prefix, prefix_len] = it.split('/');
        return { address_prefix, prefix_len: Number(prefix_len) };
      }),
    }),
  },
});

const httpMatcher = {
  matcher_list: {
    matchers: [
      { predicate: single(header('X-Verdict'), { exact: 'log' }), on_match: action('just looking', 'LOG') },
      {
        predicate: {
          and_matcher: {
            predicate: [
              single(header('x-verdict'), { prefix: 'de' }),
              { not_matcher: single(header('x-but'), { exact: 'not' }) },
            ],
          },
        },
        on_match: action('no entry', 'DENY'),
      },
      {
        predicate: within(connection('SourceIPInput'), '10.0.0.0/8', '127.0.0.0/8'),
        on_match: {
          matcher: {
            matcher_tree: {
              input: connection('DestinationPortInput'),
              exact_match_map: { map: { 21000: action('port', 'ALLOW'), 80: action('other', 'DENY') } },
            },
          },
        },
      },
    ],
  },
};
const shadowMatcher = {
  matcher_tree: {
    input: header('x-verdict'),
    prefix_match_map: { map: { l: action('shadow', 'DENY'), lo: action('longer', 'ALLOW') } },
  },
};
const tcpMatcher = (verdict: string) => ({
  matcher_list: {
    matchers: [
      {
        predicate: {
          or_matcher: {
            predicate: [
              single(connection('SourceIPInput'), { exact: '127.0.0.1' }),
              single(connection('ServerNameInput'), { exact: 'a' }),
            ],
          },
        },
        on_match: action('from here', verdict),
      },
    ],
  },
});

const listener = (name: string, port: number, filters: object[], format: string) => ({
  name,
  address: address(port),
  access_log: accessLog(`${name}.log`, format),
  filter_chains: [{ filters }],
});
const echo = typed('extensions.filters.network.echo.v3.Echo');
const tcpFormat =
  '%CONNECTION_TERMINATION_DETAILS% %DOWNSTREAM_LOCAL_CLOSE_REASON% %DYNAMIC_METADATA(envoy.filters.network.rbac)%';

const yaml = JSON.stringify({
  admin: { address: address(21001) },
  static_resources: {
    listeners: [
      listener(
        'http',
        21000,
        [
          connectionManager(
            {
              access_log: accessLog(
                'requests.log',
                '%REQ(X-VERDICT)% %RESPONSE_CODE% %RESPONSE_CODE_DETAILS% %DYNAMIC_METADATA(envoy.common)% %DYNAMIC_METADATA(envoy.filters.http.rbac)%',
              ),
              route_config: {
                virtual_hosts: [
                  {
                    name: 'all',
                    domains: ['*'],
                    routes: [{ match: { prefix: '/' }, direct_response: { status: 200 } }],
                  },
                ],
              },
            },
            [
              typed('extensions.filters.http.rbac.v3.RBAC', {
                matcher: httpMatcher,
                rules_stat_prefix: 'by_tree',
                shadow_matcher: shadowMatcher,
                rules: { action: 'DENY', policies: {} },
              }),
            ],
          ),
        ],
        '-',
      ),
      ...['ALLOW', 'DENY', 'LOG'].map((verdict, i) =>
        listener(
          `tcp-${verdict}`,
          21010 + i,
          [
            typed('extensions.filters.network.rbac.v3.RBAC', {
              stat_prefix: `tcp-${verdict}`,
              matcher: tcpMatcher(verdict),
              shadow_matcher: tcpMatcher(verdict === 'ALLOW' ? 'DENY' : 'ALLOW'),
              shadow_rules_stat_prefix: 'in_shadow_',
            }),
            echo,
          ],
          tcpFormat,
        ),
      ),
      listener(
        'tcp-none',
        21013,
        [
          typed('extensions.filters.network.rbac.v3.RBAC', {
            stat_prefix: 'tcp-none',
            matcher: {
              matcher_list: {
                matchers: [
                  {
                    predicate: within(connection('SourceIPInput'), '10.0.0.0/8'),
                    on_match: action('never', 'ALLOW'),
                  },
                ],
              },
            },
            shadow_rules: { action: 'ALLOW', policies: {} },
          }),
          echo,
        ],
        tcpFormat,
      ),
    ],
  },
});

const verdicts = [undefined, 'log', 'lo', 'l', 'deny', 'other'];

test('the matcher of rbac decides as in Envoy', { skip: missing('envoy'), timeout: 60_000 }, async (t) => {
  const seen = await expectSame(t, yaml, async (side: Side) => {
    const answers: string[] = [];
    for (const verdict of verdicts) {
      for (const but of [undefined, 'not']) {
        const headers = {
          ...(verdict === undefined ? {} : { 'x-verdict': verdict }),
          ...(but === undefined ? {} : { 'x-but': but }),
        };
        const request = httpRequest({ host: '127.0.0.1', port: side.port(21000), headers, agent: false });
        request.end();
        const [response] = await once(request, 'response');
        response.resume();
        await once(response, 'close');
        answers.push(`${verdict} ${but}: ${response.statusCode}`);
      }
    }
    for (const port of [21010, 21011, 21012, 21013]) {
      const socket = connect(side.port(port), '127.0.0.1');
      socket.write('hello');
      const heard = await Promise.race([
        once(socket, 'data').then(([it]) => String(it)),
        once(socket, 'close').then(() => 'closed'),
      ]);
      socket.destroy();
      answers.push(`${port}: ${heard}`);
    }
    const stats = (await side.stats('rbac')).map((it) => it.trim());
    await side.stop();
    const logs = ['requests', 'tcp-ALLOW', 'tcp-DENY', 'tcp-LOG', 'tcp-none'].map((it) =>
      side.lines(`${it}.log`),
    );
    return { answers, stats, logs };
  });
  assert.ok(seen.answers.includes('log undefined: 200') && seen.answers.includes('deny undefined: 403'));
});
