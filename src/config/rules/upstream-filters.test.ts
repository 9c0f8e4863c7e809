// Envoy's words about filters between router and upstream, as 1.40 says them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { frontProxyYaml } from '#testing/start-proxy.ts';
import { loadBootstrap } from '../load.ts';

const http = 'type.googleapis.com/envoy.extensions.filters.http';
const codec = { name: 'codec', typed_config: { '@type': `${http}.upstream_codec.v3.UpstreamCodec` } };
const change = { name: 'change', typed_config: { '@type': `${http}.header_mutation.v3.HeaderMutation` } };
const cors = { name: 'cors', typed_config: { '@type': `${http}.cors.v3.Cors` } };
const onlyCodec =
  "The codec filter is the only valid terminal upstream HTTP filter, use 'envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec'";
const explicit =
  ' When upstream_http_filters are specified, they must explicitly end with an UpstreamCodec filter.';
const notCors =
  "Didn't find a registered implementation for 'cors' with type URL: 'envoy.extensions.filters.http.cors.v3.Cors'";
const lastDisabled = 'Error: the last (terminal) filter (codec) in the chain cannot be disabled by default.';
const twice = (kind: string) =>
  `Error: terminal filter named codec of type envoy.filters.http.upstream_codec must be the last filter in a ${kind} filter chain.`;

const cases: readonly [
  filters: readonly object[],
  cluster: string | undefined,
  router: string | undefined,
][] = [
  [[change, codec], undefined, undefined],
  [
    [change],
    onlyCodec,
    `Error: non-terminal filter named change of type envoy.filters.http.header_mutation is the last filter in a router upstream http filter chain.${explicit}`,
  ],
  [[codec, codec], twice('upstream http'), twice('router upstream http')],
  [[cors, codec], notCors, notCors],
  [[{ ...cors, is_optional: true }, codec], undefined, undefined],
  [[{ ...codec, disabled: true }], lastDisabled, lastDisabled],
];

async function words(yaml: string): Promise<string | undefined> {
  const { problems } = await loadBootstrap({ yaml });
  return problems.find((it) => it.severity === 'error')?.envoy;
}

test('upstream filters end with the codec, and are of those that may stand there', async () => {
  for (const [filters, cluster, router] of cases) {
    const ofCluster = JSON.parse(frontProxyYaml({ to: 1 }));
    const options = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
    ofCluster.static_resources.clusters[0].typed_extension_protocol_options = {
      [options]: {
        '@type': `type.googleapis.com/${options}`,
        explicit_http_config: { http_protocol_options: {} },
        http_filters: filters,
      },
    };
    assert.equal(await words(JSON.stringify(ofCluster)), cluster);
    const ofRouter = JSON.parse(frontProxyYaml({ to: 1 }));
    const manager = ofRouter.static_resources.listeners[0].filter_chains[0].filters[0].typed_config;
    manager.http_filters[0].typed_config.upstream_http_filters = filters;
    assert.equal(await words(JSON.stringify(ofRouter)), router);
  }
});
