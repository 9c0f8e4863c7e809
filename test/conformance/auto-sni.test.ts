// auto_sni and auto_san_validation through the real Envoy and through us: the names that the upstream hears, and who is let through.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { certificatePath } from '#testing/certificates.ts';
import { missing } from '#testing/peers.ts';
import { expectSame, type Side } from './side-by-side.ts';
import { endpoint, frontYaml, type } from './side-by-side-configuration.ts';

const variants: Readonly<Record<string, { readonly options: object; readonly sni?: string }>> = {
  sni: { options: { auto_sni: true } },
  both: { options: { auto_sni: true, auto_san_validation: true } },
  header: { options: { auto_sni: true, override_auto_sni_header: 'x-name' }, sni: 'configured.example' },
  checked: { options: { auto_san_validation: true }, sni: 'configured.example' },
};

function yamlOf(upstream: number): string {
  const clusters = Object.entries(variants).map(([name, { options, sni }]) => ({
    name,
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
        '@type': type('extensions.upstreams.http.v3.HttpProtocolOptions'),
        explicit_http_config: { http_protocol_options: {} },
        upstream_http_protocol_options: options,
      },
    },
    transport_socket: {
      name: 'envoy.transport_sockets.tls',
      typed_config: {
        '@type': type('extensions.transport_sockets.tls.v3.UpstreamTlsContext'),
        sni,
        common_tls_context: {
          validation_context: { trusted_ca: { filename: certificatePath('ca') } },
        },
      },
    },
    load_assignment: endpoint(name, upstream),
  }));
  const routes = Object.keys(variants).flatMap((cluster) => [
    {
      match: { prefix: `/${cluster}/rewritten` },
      route: { cluster, host_rewrite_literal: 'a.example.com:99' },
    },
    { match: { prefix: `/${cluster}` }, route: { cluster } },
  ]);
  return frontYaml(routes, clusters);
}

const requests = ['', '/rewritten'].flatMap((suffix) =>
  ['a.example.com', 'a.example.com:8443', 'B.example.com', '127.0.0.1', '127.0.0.1:80', '[::1]:80'].flatMap(
    (host) =>
      Object.keys(variants).flatMap((variant) =>
        (variant === 'header' ? ['a.example.com:1', '', '10.0.0.1'] : [undefined]).map((name) => ({
          path: `/${variant}${suffix}`,
          host,
          name,
        })),
      ),
  ),
);

test('the upstream is asked for the same names', { skip: missing('envoy'), timeout: 60_000 }, async (t) => {
  const upstream = createServer(
    {
      cert: readFileSync(certificatePath('server-ec')),
      key: readFileSync(certificatePath('server-ec-key')),
    },
    (request, response) => response.end(String((request.socket as TLSSocket).servername || 'none')),
  ).listen(0, '127.0.0.1');
  await once(upstream, 'listening');
  t.after(() => {
    upstream.closeAllConnections();
    upstream.close();
  });
  const observe = async ({ port }: Side) => {
    const seen: string[] = [];
    for (const { path, host, name } of requests) {
      const headers = { host, ...(name === undefined ? {} : { 'x-name': name }) };
      const request = httpRequest({ host: '127.0.0.1', port: port(21000), path, headers, agent: false });
      request.end();
      const [response] = await once(request, 'response');
      response.setEncoding('latin1');
      let body = '';
      for await (const chunk of response) body += chunk;
      seen.push(`${path} ${host} ${name}: ${response.statusCode} ${body}`);
    }
    return seen;
  };
  const seen = await expectSame(t, yamlOf((upstream.address() as AddressInfo).port), observe);
  assert.ok(seen.some((it) => it.includes('200 a.example.com')));
  assert.ok(seen.some((it) => it.includes(': 503')));
});
