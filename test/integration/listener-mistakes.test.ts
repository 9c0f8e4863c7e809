// Listeners with one mistake each, and some without: the verdict of the real Envoy and its words, and ours.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadBootstrap } from '#config/load.ts';
import { certificateFiles, certificatePath } from '#testing/certificates.ts';
import { missing, peer } from '#testing/peers.ts';

const types = 'type.googleapis.com/envoy.extensions';
const filter = (type: string, fields: string) =>
  `{name: filter, typed_config: {"@type": ${types}.filters.${type}${fields === '' ? '' : `, ${fields}`}}}`;
const echo = filter('network.echo.v3.Echo', '');
const tcp = (fields: string) => filter('network.tcp_proxy.v3.TcpProxy', `stat_prefix: a, ${fields}`);
const first = (type: string, fields: string) =>
  chains(`{filters: [${filter(`network.${type}`, fields)}, ${echo}]}`);
const at = (address: string) => `{name: l, address: {${address}}, filter_chains: [{filters: [${echo}]}]}`;
const socket = (fields: string) => at(`socket_address: {${fields}}`);
const listener = (fields: string) =>
  `{name: l, address: {socket_address: {address: 127.0.0.1, port_value: 0}}, ${fields}}`;
const chains = (...all: readonly string[]) => listener(`filter_chains: [${all.join(', ')}]`);
const matches = (...all: readonly string[]) =>
  chains(...all.map((it, i) => `{name: c${i}, filter_chain_match: {${it}}, filters: [${echo}]}`));
const proxied = (fields: string) => chains(`{filters: [${tcp(fields)}]}`);
const behind = (type: string, fields: string) =>
  listener(
    `listener_filters: [${filter(`listener.${type}`, fields)}], filter_chains: [{filters: [${echo}]}]`,
  );
const udp = (fields: string) =>
  `{name: l, address: {socket_address: {protocol: UDP, address: 127.0.0.1, port_value: 0}}, ${fields}}`;
const udpProxy = (fields: string) =>
  udp(`listener_filters: [${filter('udp.udp_proxy.v3.UdpProxyConfig', `stat_prefix: a, ${fields}`)}]`);
/** In `static_resources`, named after what they are. */
const secrets = [
  `{name: cert, tls_certificate: ${JSON.stringify(certificateFiles('server-rsa'))}}`,
  `{name: trust, validation_context: {trusted_ca: {filename: ${certificatePath('ca')}}}}`,
  `{name: keys, session_ticket_keys: {keys: [{inline_string: ${'x'.repeat(80)}}]}}`,
  '{name: words, generic_secret: {secret: {inline_string: x}}}',
];
const tls = (common: string, fields = '') =>
  chains(
    `{filters: [${echo}], transport_socket: {name: tls, typed_config: {"@type": ${types}.transport_sockets.tls.v3.DownstreamTlsContext, common_tls_context: {${common}}, ${fields}}}}`,
  );
const ownCertificate = 'tls_certificate_sds_secret_configs: [{name: cert}]';
const any = 'principals: [{any: true}]';
const tree =
  'filter_chain_matcher: {on_no_match: {action: {name: a, typed_config: {"@type": type.googleapis.com/google.protobuf.StringValue, value: a}}}}';
/** Each of the lists of domains leads to a chain. */
const domains = (...lists: readonly string[]) => {
  const matchers = lists.map(
    (it) =>
      `{domains: ${it}, on_match: {action: {name: a, typed_config: {"@type": type.googleapis.com/google.protobuf.StringValue, value: c}}}}`,
  );
  return listener(
    `filter_chain_matcher: {matcher_tree: {input: {name: i, typed_config: {"@type": ${types}.matching.common_inputs.network.v3.ServerNameInput}}, custom_match: {name: d, typed_config: {"@type": type.googleapis.com/xds.type.matcher.v3.ServerNameMatcher, domain_matchers: [${matchers.join(', ')}]}}}}, filter_chains: [{name: c, filters: [${echo}]}]`,
  );
};

const cases: Readonly<Record<string, string>> = {
  'nothing wrong': matches('destination_port: 1', 'server_names: [a.test, "*.b.test"]'),
  'no chains': chains(),
  'no address': `{name: l, filter_chains: [{filters: [${echo}]}]}`,
  'two chains for everything': matches('', ''),
  'the same range twice': matches(
    'prefix_ranges: [{address_prefix: 10.0.0.0, prefix_len: 8}]',
    'prefix_ranges: [{address_prefix: 10.1.0.0, prefix_len: 8}]',
  ),
  'a server name twice': matches('server_names: [a.test, "*.b.test"]', 'server_names: ["*.b.test"]'),
  'a server name twice in one chain': matches('server_names: [a.test, a.test]'),
  'a server name in upper case': matches('server_names: [A.test]', 'server_names: [a.test]'),
  'half a wildcard': matches('server_names: ["*w.test"]'),
  'a wildcard inside': matches('server_names: ["a.*.test"]'),
  'a wildcard alone': matches('server_names: ["*"]'),
  'a suffix of addresses': matches('address_suffix: a'),
  'a suffix length': matches('suffix_len: 1'),
  'port 0': matches('destination_port: 0'),
  'a source port twice': matches('source_ports: [1, 2]', 'source_ports: [2]'),
  'a protocol twice': matches('application_protocols: [h2]', 'application_protocols: [h2, http/1.1]'),
  'a source type twice': matches('source_type: EXTERNAL', 'source_type: EXTERNAL'),
  'a range that is none': matches('prefix_ranges: [{address_prefix: 10.0.0, prefix_len: 8}]'),
  'domains to choose by': domains('[a.test, A.test]', '["*.test", "*"]'),
  'a domain twice': domains('[a.test]', '["*.test", a.test]'),
  'an empty domain': domains('[""]'),
  'a domain with a wildcard inside': domains('["a.*.test"]'),
  'a domain with half a wildcard': domains('["*a.test"]'),
  'a domain of a wildcard and a dot': domains('["*."]'),
  'a domain with two wildcards': domains('["*.*.test"]'),
  'a matcher without names of chains': listener(`${tree}, filter_chains: [{filters: [${echo}]}]`),
  'a matcher with one name twice': listener(
    `${tree}, filter_chains: [{name: a, filters: [${echo}]}, {name: a, filters: [${echo}]}]`,
  ),
  'a terminal filter in the middle': chains(`{filters: [${echo}, ${tcp('cluster: c')}]}`),
  'no terminal filter': chains(`{filters: [${filter('network.sni_cluster.v3.SniCluster', '')}]}`),
  'a named port': socket('address: 127.0.0.1, named_port: http'),
  'a name for an address': socket('address: localhost, port_value: 0'),
  'IPv4 as IPv4': socket('address: 127.0.0.1, port_value: 0, ipv4_compat: true'),
  'all of IPv6 for IPv4': socket('address: "::", port_value: 0, ipv4_compat: true'),
  'a long path': at(`pipe: {path: /tmp/${'x'.repeat(103)}}`),
  'the longest path': at(`pipe: {path: /tmp/${'x'.repeat(102)}}`),
  'a mode without a file': at('pipe: {path: "@x", mode: 511}'),
  'an internal listener': `{name: l, internal_listener: {}, filter_chains: [{filters: [${echo}]}]}`,
  'an internal address': at('envoy_internal_address: {server_listener_name: a}'),
  'addresses of two kinds': listener(
    `additional_addresses: [{address: {socket_address: {protocol: UDP, address: 127.0.0.1, port_value: 0}}}], filter_chains: [{filters: [${echo}]}]`,
  ),
  'connections over UDP': udp(`filter_chains: [{filters: [${echo}]}]`),
  'two UDP filters': udp(
    `listener_filters: [${filter('udp.udp_proxy.v3.UdpProxyConfig', 'stat_prefix: a, cluster: c')}, ${filter('udp.udp_proxy.v3.UdpProxyConfig', 'stat_prefix: b, cluster: c')}]`,
  ),
  'no route for datagrams': udpProxy(''),
  'two hash policies for datagrams': udpProxy(
    'cluster: c, hash_policies: [{source_ip: true}, {source_ip: true}]',
  ),
  'no PROXY version': behind('proxy_protocol.v3.ProxyProtocol', 'disallowed_versions: [V1, V2]'),
  'a TLV without a key': behind(
    'proxy_protocol.v3.ProxyProtocol',
    'rules: [{tlv_type: 1, on_tlv_present: {}}]',
  ),
  'a small first read': behind('tls_inspector.v3.TlsInspector', 'initial_read_buffer_size: 1'),
  'a range of no ports': first(
    'rbac.v3.RBAC',
    `stat_prefix: a, rules: {policies: {a: {permissions: [{destination_port_range: {start: 5, end: 5}}], ${any}}}}`,
  ),
  'no weights': proxied('weighted_clusters: {}'),
  'a weight of 0': proxied('weighted_clusters: {clusters: [{name: c, weight: 0}]}'),
  'a wait for data that is not taken': proxied('cluster: c, upstream_connect_mode: ON_DOWNSTREAM_DATA'),
  'a backoff that shrinks': proxied('cluster: c, backoff_options: {base_interval: 2s, max_interval: 1s}'),
  'a path without POST': proxied('cluster: c, tunneling_config: {hostname: a, post_path: /a}'),
  'a path for a header': proxied(
    'cluster: c, tunneling_config: {hostname: a, headers_to_add: [{header: {key: ":path", value: a}}]}',
  ),
  'a tunnel to nowhere': proxied('cluster: c, tunneling_config: {hostname: "%NOPE%"}'),
  'logs twice': proxied(
    'cluster: c, access_log_flush_interval: 1s, access_log_options: {access_log_flush_interval: 1s}',
  ),
  'a TLV of nothing': proxied('cluster: c, proxy_protocol_tlvs: [{type: 1}]'),
  'a bucket that fills too often': first(
    'local_ratelimit.v3.LocalRateLimit',
    'stat_prefix: a, token_bucket: {max_tokens: 1, fill_interval: 0.01s}',
  ),
  'a time that is too long': tls(ownCertificate, 'session_timeout: 4294967296s'),
  'an unknown object': first(
    'set_filter_state.v3.Config',
    'on_new_connection: [{object_key: nope, format_string: {text_format_source: {inline_string: a}}}]',
  ),
};

for (const name of ['cert', 'trust', 'keys', 'words', 'nope']) {
  const trusted = `validation_context_sds_secret_config: {name: ${name}}`;
  Object.assign(cases, {
    [`the secret ${name} as a certificate`]: tls(`tls_certificate_sds_secret_configs: [{name: ${name}}]`),
    [`the secret ${name} as a validation context`]: tls(`${ownCertificate}, ${trusted}`),
    [`the secret ${name} over a default validation context`]: tls(
      `${ownCertificate}, combined_validation_context: {default_validation_context: {}, ${trusted}}`,
    ),
    [`the secret ${name} as ticket keys`]: tls(
      ownCertificate,
      `session_ticket_keys_sds_secret_config: {name: ${name}}`,
    ),
  });
}

test('Envoy and we say the same of a listener', { skip: missing('envoy') }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'listener-mistakes-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const queue = Object.entries(cases);
  const differences: string[] = [];
  const ask = async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const [name, text] = next;
      const yaml = `static_resources: {secrets: [${secrets.join(', ')}], clusters: [{name: c}], listeners: [${text}]}\n`;
      const words = await envoySays(join(folder, `${name.replaceAll(' ', '-')}.yaml`), yaml);
      const { problems } = await loadBootstrap({ yaml });
      const wrong = problems.filter((it) => it.severity === 'error');
      const isSame =
        words === undefined ? wrong.length === 0 : wrong.some((it) => words.startsWith(it.envoy ?? '?'));
      if (!isSame)
        differences.push(`${name}: ${words ?? 'nothing'}; ours ${wrong.map((it) => it.envoy ?? it.message)}`);
    }
  };
  await Promise.all([ask(), ask()]);
  assert.deepEqual(differences, []);
});

/** Undefined: it accepts. */
function envoySays(file: string, yaml: string): Promise<string | undefined> {
  writeFileSync(file, yaml);
  return new Promise((resolve) => {
    execFile(peer('envoy'), ['--mode', 'validate', '-l', 'critical', '-c', file], (error, _out, text) => {
      if (error === null) resolve(undefined);
      else {
        const said = /error initializing configuration '[^']*': ([\s\S]*)/.exec(text)?.[1]?.trim() ?? text;
        // Before this stands the message in text form, differently each time.
        const constraint = said.indexOf('Proto constraint validation failed');
        resolve(constraint < 0 ? said : said.slice(constraint));
      }
    });
  });
}
