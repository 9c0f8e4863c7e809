// Listeners: addresses, filter chains and the connections they choose, options of the HTTP connection manager.

import { canonicalIp, maskedIp } from '#base/cidr.ts';
import type { Message } from '#schema/descriptor.ts';
import type { MessageTypes } from '#schema/messages/type-map.ts';
import type { ParseContext } from '../parse-context.ts';
import { isIpAddress } from './clusters.ts';
import { typeOf } from './extensions.ts';
import { type Rule, rule } from './rule.ts';

type Bootstrap = MessageTypes['envoy.config.bootstrap.v3.Bootstrap'];
type Listener = MessageTypes['envoy.config.listener.v3.Listener'];
type FilterChain = MessageTypes['envoy.config.listener.v3.FilterChain'];
type FilterChainMatch = MessageTypes['envoy.config.listener.v3.FilterChainMatch'];
type Address = MessageTypes['envoy.config.core.v3.Address'];

export const listenerRules: readonly Rule[] = [
  rule('xds.type.matcher.v3.ServerNameMatcher', (matcher, at) => {
    const seen = new Set<string>();
    for (const [i, { domains }] of matcher.domain_matchers.entries()) {
      for (const [k, domain] of domains.entries()) {
        const wrong = seen.has(domain)
          ? `Duplicate domain in ServerNameMatcher: ${domain}`
          : wrongDomain(domain);
        seen.add(domain);
        if (wrong !== undefined)
          at.field('domain_matchers', i)
            .field('domains', k)
            .fail(wrong, {
              rule: 'listener-config',
              got: domain,
              envoy: `cannot create a filter chain matcher: ${wrong}`,
            });
      }
    }
  }),
  rule('envoy.config.bootstrap.v3.Bootstrap', (bootstrap, at) => {
    const listeners = bootstrap.static_resources?.listeners ?? [];
    const resources = at.field('static_resources');
    checkListenerAddresses(listeners, resources);
    checkListenerNames(listeners, resources);
    const admin = bootstrap.admin?.address;
    const adminHost = admin?.socket_address;
    if (adminHost !== undefined && adminHost.resolver_name === '' && !isIpAddress(adminHost.address)) {
      failAddress(
        adminHost.address,
        at.field('admin').field('address').field('socket_address').field('address'),
      );
    }
    const adminAddress = admin && addressText(admin);
    if (adminAddress === undefined || adminAddress.endsWith(':0')) return;
    const taken = listeners.findIndex(
      (it) => it.address !== undefined && addressText(it.address) === adminAddress,
    );
    if (taken >= 0) {
      at.field('admin')
        .field('address')
        .warn(
          `the listener "${listeners[taken]!.name}" has the same address, ${adminAddress}: one of the two cannot bind`,
          {
            rule: 'port-conflict',
            got: adminAddress,
            suggestion: 'use another port for the admin interface',
          },
        );
    }
  }),
  rule('envoy.config.listener.v3.Listener', (listener, at, _scope, around) => {
    const fail = (field: string, problem: string, words: string, suggestion?: string) =>
      at.field(field).fail(problem, {
        rule: 'listener-config',
        envoy: `${addingListener(listener)}: ${words}`,
        ...(suggestion !== undefined && { suggestion }),
      });
    if (
      listener.address === undefined &&
      listener.internal_listener === undefined &&
      listener.api_listener === undefined
    ) {
      at.fail('a listener needs an address', {
        rule: 'listener-config',
        envoy: `error adding listener named '${listener.name}': address is necessary`,
        suggestion: 'add "address"',
      });
      return;
    }
    checkInternal(
      listener,
      at,
      around.inside('envoy.config.bootstrap.v3.Bootstrap') as Bootstrap | undefined,
    );
    checkAddress(listener.address, at.field('address'));
    listener.additional_addresses.forEach((it, i) => {
      const here = at.field('additional_addresses', i).field('address');
      checkAddress(it.address, here);
      if (it.address === undefined || socketType(it.address) === socketType(listener.address)) return;
      here.fail('all addresses of a listener have to be of one kind', {
        rule: 'listener-config',
        envoy: `listener ${listener.name}: has different socket type. The listener only support same socket type for all the addresses.`,
        suggestion: 'make two listeners',
      });
    });
    const socket = listener.address?.socket_address;
    if (socket !== undefined && socket.resolver_name === '' && !isIpAddress(socket.address)) {
      failAddress(socket.address, at.field('address').field('socket_address').field('address'));
    }
    if (listener.api_listener !== undefined) return;
    // Envoy never builds the second of two static listeners with one name.
    const bootstrap = around.inside('envoy.config.bootstrap.v3.Bootstrap') as Bootstrap | undefined;
    const namesake = bootstrap?.static_resources?.listeners.find((it) => it.name === listener.name);
    if (listener.name !== '' && namesake !== undefined && namesake !== listener) return;
    const isUdp = socket?.protocol === 'UDP' && listener.udp_listener_config?.quic_options === undefined;
    if (isUdp && listener.filter_chains.length > 0) {
      fail(
        'filter_chains',
        'a UDP listener has no connections, and so no filter chains',
        `${listener.filter_chains.length} filter chain(s) specified for connection-less UDP listener.`,
        'put the UDP filters under "listener_filters"',
      );
    } else if (!isUdp && listener.filter_chains.length === 0 && listener.default_filter_chain === undefined) {
      at.fail('a listener needs a filter chain', {
        rule: 'listener-config',
        envoy: `${addingListener(listener)}: no filter chains specified`,
        suggestion: 'add "filter_chains"',
      });
    }
    if (listener.filter_chain_matcher === undefined) checkOverlap(listener, at);
    else checkChainNames(listener, at);
  }),
  rule(
    'envoy.extensions.filters.network.http_connection_manager.v3.ScopedRoutes.ScopeKeyBuilder.FragmentBuilder.HeaderValueExtractor',
    (extractor, at) => {
      if (extractor.element !== undefined || extractor.index !== undefined) return;
      at.fail('needs one of: index, element', {
        rule: 'http-config',
        envoy: 'Proto constraint validation failed (HeaderValueExtractor extract_type not set.)',
        suggestion: 'add "index: 0" for the whole value',
      });
    },
  ),
  rule('envoy.config.core.v3.BindConfig', (bind, at) => {
    const address = bind.source_address?.address;
    if (address !== undefined && !isIpAddress(address))
      failAddress(address, at.field('source_address').field('address'));
  }),
  rule('envoy.config.metrics.v3.StatsdSink', (sink, at) => {
    const address = sink.address?.socket_address?.address;
    if (address !== undefined && !isIpAddress(address)) {
      failAddress(address, at.field('address').field('socket_address').field('address'));
    }
  }),
  rule('envoy.config.metrics.v3.TagSpecifier', (tag, at) => {
    if (tag.tag_name === '') {
      at.fail('"tag_name" is missing', {
        rule: 'stats-config',
        envoy: 'tag_name cannot be empty',
        suggestion: 'add "tag_name"',
      });
    }
    if (tag.regex !== undefined) checkTagRegex(tag.regex, at.field('regex'));
    if (tag.regex !== undefined || tag.fixed_value !== undefined || tag.tag_name.startsWith('envoy.')) return;
    at.fail(`the tag "${tag.tag_name}" needs "regex" or "fixed_value"`, {
      rule: 'stats-config',
      envoy: `No regex specified for tag specifier and no default regex for name: '${tag.tag_name}'`,
      suggestion: 'add "regex"',
    });
  }),
  rule('envoy.config.core.v3.CidrRange', (range, at, _scope, around) => {
    if (isIpAddress(range.address_prefix)) return;
    const isMatch = around.inside('envoy.config.listener.v3.FilterChainMatch') !== undefined;
    failCidr(range.address_prefix, at, isMatch ? '' : 'Failed to create CIDR range: ');
  }),
  rule('envoy.config.listener.v3.FilterChain', (chain, at, _scope, around) => {
    const match = chain.filter_chain_match;
    if (match === undefined || (match.address_suffix === '' && match.suffix_len === undefined)) return;
    const field = match.address_suffix === '' ? 'suffix_len' : 'address_suffix';
    at.field('filter_chain_match')
      .field(field)
      .fail('is not implemented, in Envoy neither', {
        rule: 'listener-config',
        envoy: `${addingListener(around.inside('envoy.config.listener.v3.Listener') as Listener | undefined)}: filter chain '${chain.name}' contains unimplemented fields`,
        suggestion: `remove "${field}"`,
      });
  }),
  rule('envoy.config.listener.v3.FilterChainMatch', (match, at, _scope, around) => {
    match.server_names.forEach((name, i) => {
      if (!name.includes('*') || (name.startsWith('*.') && !name.slice(2).includes('*'))) return;
      at.field('server_names', i).fail(
        `"${name}": a star may only stand for whole labels at the beginning, as in *.example.com`,
        {
          rule: 'listener-config',
          got: name,
          envoy: `${addingListener(around.inside('envoy.config.listener.v3.Listener') as Listener | undefined)}: partial wildcards are not supported in "server_names"`,
        },
      );
    });
  }),
  rule(
    'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
    (manager, at, _scope, around) => {
      const seen = new Set<string>();
      manager.upgrade_configs.forEach((upgrade, i) => {
        const type = upgrade.upgrade_type.toLowerCase();
        if (seen.has(type)) {
          at.field('upgrade_configs', i).fail(`"${upgrade.upgrade_type}" is configured twice`, {
            rule: 'duplicate-upgrade',
            got: upgrade.upgrade_type,
            envoy: `Error: multiple upgrade configs with the same name: '${upgrade.upgrade_type}'`,
          });
        }
        seen.add(type);
      });
      if (manager.original_ip_detection_extensions.length > 0 && manager.use_remote_address === true) {
        at.field('use_remote_address').fail(
          '"use_remote_address" and "original_ip_detection_extensions" exclude each other',
          {
            rule: 'http-config',
            envoy: 'Original IP detection extensions and use_remote_address may not be mixed',
            suggestion: 'keep one of the two',
          },
        );
      }
      if (manager.original_ip_detection_extensions.length > 0 && manager.xff_num_trusted_hops > 0) {
        at.field('xff_num_trusted_hops').fail(
          '"xff_num_trusted_hops" and "original_ip_detection_extensions" exclude each other',
          {
            rule: 'http-config',
            envoy: 'Original IP detection extensions and xff_num_trusted_hops may not be mixed',
            suggestion: 'say it in the extension',
          },
        );
      }
      const listener = around.inside('envoy.config.listener.v3.Listener') as Listener | undefined;
      if (
        manager.codec_type === 'HTTP3' &&
        listener !== undefined &&
        listener.udp_listener_config?.quic_options === undefined
      ) {
        at.field('codec_type').fail('HTTP/3 needs a QUIC listener', {
          rule: 'http-config',
          got: 'HTTP3',
          envoy: 'HTTP/3 codec configured on non-QUIC listener.',
          suggestion: 'use AUTO',
        });
      }
    },
  ),
];

/** Tags are found by std::regex, whose syntax is that of JavaScript. */
function checkTagRegex(pattern: string, at: ParseContext): void {
  try {
    new RegExp(pattern);
  } catch (error) {
    at.fail(`the regular expression "${pattern}" is not valid`, {
      rule: 'invalid-regex',
      got: pattern,
      envoy: `Invalid regex '${pattern}': ${(error as Error).message}`,
      expected: 'a regular expression in the syntax of ECMAScript',
    });
  }
}

function failAddress(address: string, at: ParseContext): void {
  at.fail(`"${address}" is not an IP address`, {
    rule: 'malformed-address',
    got: address,
    expected: 'an IP address',
    envoy: `malformed IP address: ${address}`,
    ...(address === 'localhost' && { suggestion: 'write 127.0.0.1' }),
  });
}

function failCidr(address: string, at: ParseContext, words: string): void {
  at.field('address_prefix').fail(`"${address}" is not an IP address`, {
    rule: 'malformed-address',
    got: address,
    expected: 'an IP address; its length goes into "prefix_len"',
    envoy: `${words}malformed IP address: ${address}`,
    ...(/^[0-9a-fA-F.:]+\/\d+$/.test(address) && {
      suggestion: `write address_prefix: ${address.split('/')[0]} and prefix_len: ${address.split('/')[1]}`,
    }),
  });
}

/** `127.0.0.1:80`, `[::1]:80`, a path. */
export function addressText(address: Address): string {
  const socket = address.socket_address;
  if (socket === undefined) return address.pipe?.path ?? '';
  const host = socket.address.includes(':') ? `[${socket.address}]` : socket.address;
  const protocol = socket.protocol === 'UDP' ? 'udp ' : '';
  return `${protocol}${host}:${socket.port_value ?? 0}`;
}

/** How Envoy begins what it says of a listener. */
function addingListener(listener: Listener | undefined): string {
  const address = listener?.address === undefined ? '' : addressText(listener.address).replace(/^udp /, '');
  return `error adding listener '${address || listener?.name}'`;
}

function socketType(address: Address | undefined): string {
  return address?.socket_address?.protocol ?? 'TCP';
}

/** With its null, of a Unix socket. */
const longestPath = 108;

function checkAddress(address: Address | undefined, at: ParseContext): void {
  const { socket_address: socket, pipe } = address ?? {};
  if (socket?.named_port !== undefined) {
    at.field('socket_address').field('named_port').fail('only numbers are ports here', {
      rule: 'listener-config',
      got: socket.named_port,
      envoy: "IP resolver can't handle port specifier type 4",
      suggestion: 'write "port_value"',
    });
  }
  if (socket?.ipv4_compat === true && !isCompatible(socket.address)) {
    at.field('socket_address')
      .field('ipv4_compat')
      .fail('is for IPv6 addresses that stand for IPv4, too', {
        rule: 'listener-config',
        got: socket.address,
        envoy: `Only IPv6 address '::' or valid IPv4-mapped IPv6 address can set ipv4_compat: ${socket.address}:${socket.port_value ?? 0}`,
        suggestion: 'write "::", or remove "ipv4_compat"',
      });
  }
  if (pipe === undefined) return;
  const isAbstract = pipe.path.startsWith('@');
  if (Buffer.byteLength(pipe.path) + (isAbstract ? 0 : 1) > longestPath) {
    at.field('pipe')
      .field('path')
      .fail('the path is too long', {
        rule: 'listener-config',
        envoy: `Path "${pipe.path}" exceeds maximum UNIX domain socket path size of ${longestPath}.`,
      });
  }
  if (isAbstract && pipe.mode !== 0) {
    at.field('pipe').field('mode').fail('an abstract socket is no file', {
      rule: 'listener-config',
      got: pipe.mode,
      envoy: 'Cannot set mode for Abstract AF_UNIX sockets',
      suggestion: 'remove "mode"',
    });
  }
}

/** `::`, or an IPv4 address written as IPv6. */
function isCompatible(address: string): boolean {
  const canonical = canonicalIp(address);
  return address.includes(':') && (canonical === '::' || canonical?.includes(':') === false);
}

/** Listeners that only other listeners reach. */
function checkInternal(listener: Listener, at: ParseContext, bootstrap: Bootstrap | undefined): void {
  const where = `error adding listener named '${listener.name}'`;
  if (listener.address?.envoy_internal_address !== undefined) {
    at.field('address').fail('"internal_listener" takes the place of an address', {
      rule: 'listener-config',
      envoy: `${where}: use internal_listener field instead of address for internal listeners`,
      suggestion: 'write "internal_listener: {}"',
    });
  }
  const isThere = bootstrap?.bootstrap_extensions.some(({ typed_config: it }) =>
    typeOf(it as Message | undefined)?.endsWith('.InternalListener'),
  );
  if (listener.internal_listener === undefined || bootstrap === undefined || isThere) return;
  at.field('internal_listener').fail('needs the bootstrap extension for internal listeners', {
    rule: 'listener-config',
    envoy: `${where}: InternalListener bootstrap extension is mandatory`,
    suggestion: 'add "envoy.bootstrap.internal_listener" to "bootstrap_extensions"',
  });
}

function checkListenerAddresses(listeners: readonly Listener[], at: ParseContext): void {
  const seen = new Map<string, number>();
  listeners.forEach((listener, i) => {
    if (listener.api_listener !== undefined) return;
    const addresses = [listener.address, ...listener.additional_addresses.map((it) => it.address)];
    for (const address of addresses) {
      if (address === undefined) continue;
      const text = addressText(address);
      if (text === '' || /:0$/.test(text)) continue;
      const first = seen.get(text);
      if (first === undefined) {
        seen.set(text, i);
        continue;
      }
      // A listener with the same name replaces the first one.
      if (first === i || (listener.name !== '' && listeners[first]!.name === listener.name)) continue;
      const shown = text.replace(/^udp /, '');
      at.field('listeners', i)
        .field('address')
        .fail(`the listener "${listeners[first]!.name}" has the same address, ${shown}`, {
          rule: 'duplicate-listener-address',
          got: shown,
          envoy: `error adding listener: '${listener.name}' has duplicate address '${shown}' as existing listener, to check if the listener has duplicated addresses with other listeners or 'enable_reuse_port' is set to 'false' for the listener`,
          suggestion: 'use another port, or make one listener of the two',
        });
    }
  });
}

function checkListenerNames(listeners: readonly Listener[], at: ParseContext): void {
  const seen = new Set<string>();
  listeners.forEach((listener, i) => {
    if (listener.name === '') return;
    if (seen.has(listener.name)) {
      at.field('listeners', i)
        .field('name')
        .warn(`there is another listener "${listener.name}": the later one replaces it`, {
          rule: 'duplicate-name',
          got: listener.name,
          suggestion: 'rename one of them',
        });
    }
    seen.add(listener.name);
  });
}

/** In Envoy's words. Undefined: nothing. */
function wrongDomain(domain: string): string | undefined {
  if (domain === '') return 'Empty domain in ServerNameMatcher';
  const rest = domain.startsWith('*.') ? domain.slice(2) : domain;
  if (domain === '*' || (rest !== '' && !rest.includes('*'))) return undefined;
  const why =
    rest !== '' && rest !== domain
      ? 'Multiple wildcards are not supported'
      : "Only '*' and '*.domain' patterns are supported";
  return `Invalid wildcard domain format: ${domain}. ${why}`;
}

/** The matcher chooses chains by name. */
function checkChainNames(listener: Listener, at: ParseContext): void {
  const where = addingListener(listener);
  const seen = new Set<string>();
  listener.filter_chains.forEach((chain, i) => {
    const here = at.field('filter_chains', i);
    if (chain.name === '') {
      here.fail('"name" is missing: "filter_chain_matcher" chooses by name', {
        rule: 'listener-config',
        envoy: `${where}: "name" field is required when using a listener matcher`,
        suggestion: 'add "name"',
      });
    } else if (seen.has(chain.name)) {
      here.field('name').fail(`there is another filter chain "${chain.name}"`, {
        rule: 'listener-config',
        got: chain.name,
        envoy: `${where}: "name" field is duplicated with value '${chain.name}'`,
        suggestion: 'rename one of them',
      });
    }
    seen.add(chain.name);
  });
}

/** Chains that the same connection could choose. */
function checkOverlap(listener: Listener, at: ParseContext): void {
  const chains = listener.filter_chains;
  const owners = new Map<string, number>();
  const whole = new Map<string, number>();
  const where = addingListener(listener);
  for (let i = 0; i < chains.length; i++) {
    const text = JSON.stringify(chains[i]!.filter_chain_match ?? {});
    const same = whole.get(text);
    if (same !== undefined) {
      failOverlap(
        chains,
        same,
        i,
        `${where}: filter chain '${chains[i]!.name}' has the same matching rules defined as '${chains[same]!.name}'. duplicate matcher is: ${text}`,
        at,
      );
      continue;
    }
    whole.set(text, i);
    for (const key of matchKeys(chains[i]!.filter_chain_match)) {
      const owner = owners.get(key);
      if (owner === undefined) owners.set(key, i);
      else {
        failOverlap(
          chains,
          owner,
          i,
          `${where}: multiple filter chains with overlapping matching rules are defined`,
          at,
        );
        break;
      }
    }
  }
}

function failOverlap(
  chains: readonly FilterChain[],
  first: number,
  i: number,
  words: string,
  at: ParseContext,
): void {
  const other = chains[first]!.name === '' ? `filter_chains[${first}]` : `"${chains[first]!.name}"`;
  at.field('filter_chains', i).fail(`connections that match here also match ${other}`, {
    rule: 'filter-chain-overlap',
    envoy: words,
    expected: 'conditions that no two chains share',
    suggestion: 'give each chain its own "filter_chain_match", or use "default_filter_chain" for the rest',
  });
}

/** Every combination of conditions, as Envoy enters them into its tree. */
function* matchKeys(match: FilterChainMatch | undefined): Generator<string> {
  const or = (list: readonly string[]) => (list.length === 0 ? [''] : list);
  const ranges = (list: FilterChainMatch['prefix_ranges']) =>
    or(list.map((it) => `${maskedIp(it.address_prefix, it.prefix_len ?? 0)}/${it.prefix_len ?? 0}`));
  const parts: readonly (readonly string[])[] =
    match === undefined
      ? []
      : [
          [String(match.destination_port ?? '')],
          ranges(match.prefix_ranges),
          or(match.server_names.map((it) => it.toLowerCase())),
          [match.transport_protocol],
          or(match.application_protocols),
          ranges(match.direct_source_prefix_ranges),
          [match.source_type],
          ranges(match.source_prefix_ranges),
          or(match.source_ports.map(String)),
        ];
  let count = 1;
  for (const part of parts) count *= part.length;
  // A chain with a hundred thousand combinations is not looked into.
  if (count > 100_000) return;
  if (match === undefined) {
    yield JSON.stringify(['', '', '', '', '', '', 'ANY', '', '']);
    return;
  }
  const indices = parts.map(() => 0);
  for (let n = 0; n < count; n++) {
    yield JSON.stringify(parts.map((part, i) => part[indices[i]!]));
    for (let i = parts.length - 1; i >= 0; i--) {
      if (++indices[i]! < parts[i]!.length) break;
      indices[i] = 0;
    }
  }
}
