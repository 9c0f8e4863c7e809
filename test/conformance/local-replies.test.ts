// What the proxy answers itself, as `local_reply_config` says, beside the real Envoy.
import { once } from 'node:events';
import { request } from 'node:http';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { missing } from '#testing/peers.ts';
import { expectSame } from './side-by-side.ts';
import { frontYaml } from './side-by-side-configuration.ts';

const asked = (value: string) => ({
  header_filter: { header: { name: 'x-mapper', string_match: { exact: value } } },
});
const body = '[%LOCAL_REPLY_BODY%]';
const mapped = { body: { inline_string: 'mäpped "' } };
/** By the header of the request that chooses it. */
const mappers: Readonly<Record<string, object>> = {
  'a header sees no body': { headers_to_add: [{ header: { key: 'x-body', value: body } }], ...mapped },
  'the body as it is': mapped,
  'a text around the body': { ...mapped, body_format_override: { text_format: `ö${body}` } },
  'JSON around the body': {
    ...mapped,
    body_format_override: { json_format: { [body]: `ö${body}`, b: '%LOCAL_REPLY_BODY%' } },
  },
  'it is no access log': {
    filter: {
      and_filter: { filters: [asked('it is no access log'), { log_type_filter: { types: ['NotSet'] } }] },
    },
    body_format_override: { text_format: '%ACCESS_LOG_TYPE%' },
  },
  'the end of a request has not come': {
    filter: {
      and_filter: {
        filters: [
          asked('the end of a request has not come'),
          { log_type_filter: { types: ['DownstreamEnd'] } },
        ],
      },
    },
    status_code: 299,
  },
};

test('local replies are mapped as by Envoy', { skip: missing('envoy'), timeout: 60_000 }, async (t) => {
  const type = { header: { key: 'x-type', value: '%ACCESS_LOG_TYPE%' } };
  const routes = [
    {
      match: { prefix: '/direct' },
      direct_response: { status: 404, body: { inline_string: 'diréct' } },
      response_headers_to_add: [type],
    },
  ];
  const yaml = frontYaml(
    routes,
    [],
    {},
    {
      local_reply_config: {
        mappers: Object.entries(mappers).map(([name, mapper]) => ({ filter: asked(name), ...mapper })),
      },
    },
  );
  await expectSame(t, yaml, async (side) => {
    const answers: unknown[] = [];
    for (const mapper of ['none', ...Object.keys(mappers)])
      for (const path of ['/direct', '/unknown']) {
        const sent = request({
          ...{ host: '127.0.0.1', port: side.port(21000), path, agent: false },
          headers: { 'x-mapper': mapper },
        });
        sent.end();
        const [response] = await once(sent, 'response');
        const { date, ...headers } = response.headers;
        answers.push([mapper, path, response.statusCode, headers, await text(response)]);
      }
    return answers;
  });
});
