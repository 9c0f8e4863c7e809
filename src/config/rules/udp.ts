// UDP listeners: what udp_proxy may match, names and addresses of dns_filter.
import type { Message } from '#schema/descriptor.ts';
import type { ParseContext } from '../parse-context.ts';
import { isIpAddress } from './clusters.ts';
import { typeOf } from './extensions.ts';
import { type Rule, rule } from './rule.ts';

const udpProxy = 'envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig';
const network = 'envoy.extensions.matching.common_inputs.network.v3';

/** Inside the matcher of udp_proxy, by field. */
const matcherTypes: Readonly<Record<string, readonly string[]>> = {
  input: [
    `${network}.DestinationIPInput`,
    `${network}.DestinationPortInput`,
    `${network}.SourceIPInput`,
    `${network}.SourcePortInput`,
  ],
  action: ['envoy.extensions.filters.udp.udp_proxy.v3.Route'],
};

export const udpRules: readonly Rule[] = [
  rule(udpProxy, (proxy, at) => {
    if (!proxy.use_per_packet_load_balancing || proxy.session_filters.length === 0) return;
    at.field('use_per_packet_load_balancing').fail('session filters need sessions of more than a datagram', {
      rule: 'listener-config',
      envoy: 'Only one of use_per_packet_load_balancing or session_filters can be used.',
      suggestion: 'remove one of the two',
    });
  }),
  rule('xds.core.v3.TypedExtensionConfig', (it, at, _scope, around) => {
    const known = matcherTypes[around.field?.name ?? ''];
    if (known === undefined || around.inside(udpProxy) === undefined) return;
    const type = typeOf(it.typed_config as Message | undefined);
    if (type === undefined || known.includes(type)) return;
    at.field('typed_config')
      .field('@type')
      .fail(`${type} is not for datagrams`, {
        rule: 'unknown-extension',
        got: type,
        envoy: `Didn't find a registered implementation for '${it.name}' with type URL: '${type}'`,
        expected: known.join(', '),
      });
  }),
  rule('xds.core.v3.CidrRange', ({ address_prefix: address }, at) => {
    if (!isIpAddress(address)) failAddress(address, at.field('address_prefix'));
  }),
  rule('envoy.data.dns.v3.DnsTable.AddressList', ({ address: addresses }, at) => {
    addresses.forEach((address, i) => {
      if (!isIpAddress(address)) failAddress(address, at.field('address', i));
    });
  }),
  rule('envoy.config.listener.v3.Listener', (listener, at) => {
    if (listener.address?.socket_address?.protocol !== 'UDP' || listener.bind_to_port !== false) return;
    at.field('bind_to_port').fail('a UDP listener has to be bound', {
      rule: 'listener-config',
      got: false,
      envoy: `listener ${listener.name}: bind_to_port: false is not supported for UDP listeners`,
      suggestion: 'remove "bind_to_port"',
    });
  }),
];

function failAddress(address: string, at: ParseContext): void {
  at.fail(`"${address}" is not an IP address`, {
    rule: 'malformed-address',
    got: address,
    envoy: `malformed IP address: ${address}`,
    expected: 'an IP address',
  });
}
