// Role-based access control as plain data, shared by the HTTP and the network filter.
import type { ParseContext } from '#config/parse-context.ts';
import { type CelData, celOptions, parseCelTree } from '#extension/cel/cel-config.ts';
import type {
  FilterStateMatcherData,
  HeaderMatcherData,
  MetadataMatcherData,
  StringMatcherData,
} from '#extension/matchers/matcher-config.ts';
import {
  parseFilterStateMatcher,
  parseHeaderMatcher,
  parseMetadataMatcher,
  parseStringMatcher,
} from '#extension/matchers/parse.ts';
import { typeOf } from '#extension/registry.ts';
import { parseUriTemplate } from '#http/uri-template.ts';
import type { CidrRange, TypedExtensionConfig } from '#schema/messages/envoy/config/core/v3.ts';
import type {
  Permission,
  Policy,
  Principal,
  RBAC,
  SourcedMetadata,
} from '#schema/messages/envoy/config/rbac/v3.ts';
import type { UriTemplateMatchConfig } from '#schema/messages/envoy/extensions/path/match/uri_template/v3.ts';
import type { UpstreamIpPortMatcher } from '#schema/messages/envoy/extensions/rbac/matchers/upstream_ip_port/v3.ts';

export interface RbacRules {
  readonly action: 'ALLOW' | 'DENY' | 'LOG';
  /** Sorted by name: the first that matches decides and is named. */
  readonly policies: readonly RbacPolicy[];
}

export interface RbacPolicy {
  readonly name: string;
  /** Must hold as well. */
  readonly condition: CelData | undefined;
  readonly permissions: readonly RuleData[];
  readonly principals: readonly RuleData[];
}

/** A condition of either side; the two differ only in which kinds they have. */
export type RuleData =
  | { readonly kind: 'and' | 'or'; readonly rules: readonly RuleData[] }
  | { readonly kind: 'not'; readonly rule: RuleData }
  | { readonly kind: 'any' }
  | { readonly kind: 'header'; readonly header: HeaderMatcherData }
  | { readonly kind: 'url_path'; readonly path: StringMatcherData }
  | {
      readonly kind: 'destination_ip' | 'source_ip' | 'direct_remote_ip' | 'remote_ip';
      readonly range: CidrData;
    }
  | { readonly kind: 'destination_port'; readonly start: number; readonly end: number }
  | { readonly kind: 'metadata'; readonly metadata: MetadataMatcherData; readonly ofRoute: boolean }
  | { readonly kind: 'server_name'; readonly name: StringMatcherData }
  | {
      readonly kind: 'upstream_address';
      readonly range: CidrData | undefined;
      /** Both are in it. */
      readonly ports: { readonly start: number; readonly end: number } | undefined;
    }
  | { readonly kind: 'authenticated'; readonly name: StringMatcherData | undefined }
  | { readonly kind: 'filter_state'; readonly matcher: FilterStateMatcherData };

export interface CidrData {
  readonly address: string;
  readonly prefixLength: number;
}

export function parseRbacRules(message: RBAC, at: ParseContext): RbacRules {
  const { action } = message;
  if (message.audit_logging_options !== undefined) at.field('audit_logging_options').unsupported();
  const policies = Object.entries(message.policies).map(([name, policy]) => {
    return parsePolicy(name, policy, at.field('policies').key(name));
  });
  return {
    action: action === 'DENY' || action === 'LOG' ? action : 'ALLOW',
    policies: policies.sort((a, b) => (a.name < b.name ? -1 : 1)),
  };
}

function parsePolicy(name: string, message: Policy, at: ParseContext): RbacPolicy {
  const { condition, checked_condition: checked } = message;
  const tree = condition ?? checked?.expr;
  const here = condition === undefined ? at.field('checked_condition').field('expr') : at.field('condition');
  return {
    name,
    condition: tree && parseCelTree(tree, celOptions(message.cel_config), here),
    permissions: message.permissions.map((it, i) => parsePermission(it, at.field('permissions', i))),
    principals: message.principals.map((it, i) => parsePrincipal(it, at.field('principals', i))),
  };
}

function parsePermission(message: Permission, at: ParseContext): RuleData {
  if (message.and_rules !== undefined) return all('and', message.and_rules.rules, at.field('and_rules'));
  if (message.or_rules !== undefined) return all('or', message.or_rules.rules, at.field('or_rules'));
  if (message.not_rule !== undefined)
    return { kind: 'not', rule: parsePermission(message.not_rule, at.field('not_rule')) };
  if (message.header !== undefined)
    return { kind: 'header', header: parseHeaderMatcher(message.header, at.field('header')) };
  if (message.url_path !== undefined) {
    return {
      kind: 'url_path',
      path: parseStringMatcher(message.url_path.path!, at.field('url_path').field('path')),
    };
  }
  if (message.destination_ip !== undefined)
    return { kind: 'destination_ip', range: parseCidr(message.destination_ip) };
  if (message.destination_port !== undefined) {
    return { kind: 'destination_port', start: message.destination_port, end: message.destination_port + 1 };
  }
  if (message.destination_port_range !== undefined) {
    return {
      kind: 'destination_port',
      start: message.destination_port_range.start,
      end: message.destination_port_range.end,
    };
  }
  if (message.metadata !== undefined) {
    return {
      kind: 'metadata',
      metadata: parseMetadataMatcher(message.metadata, at.field('metadata')),
      ofRoute: false,
    };
  }
  if (message.sourced_metadata !== undefined)
    return sourced(message.sourced_metadata, at.field('sourced_metadata'));
  if (message.requested_server_name !== undefined) {
    return {
      kind: 'server_name',
      name: parseStringMatcher(message.requested_server_name, at.field('requested_server_name')),
    };
  }
  if (message.matcher !== undefined) return parseMatcher(message.matcher, at.field('matcher'));
  if (message.uri_template !== undefined)
    return {
      kind: 'url_path',
      path: parseTemplate(message.uri_template.typed_config, at.field('uri_template').field('typed_config')),
    };
  return { kind: 'any' };

  function all(kind: 'and' | 'or', rules: readonly Permission[], here: ParseContext): RuleData {
    return { kind, rules: rules.map((it, i) => parsePermission(it, here.field('rules', i))) };
  }
}

const upstreamMatcher = 'envoy.extensions.rbac.matchers.upstream_ip_port.v3.UpstreamIpPortMatcher';

function parseMatcher({ typed_config: config }: TypedExtensionConfig, at: ParseContext): RuleData {
  const here = at.field('typed_config');
  if (typeOf(config) !== upstreamMatcher) {
    here.unsupported(`matcher ${typeOf(config)} is not supported by chancery`, { expected: upstreamMatcher });
    return { kind: 'any' };
  }
  const { upstream_ip: ip, upstream_port_range: ports } = config as unknown as UpstreamIpPortMatcher;
  return {
    kind: 'upstream_address',
    range: ip && parseCidr(ip),
    ports: ports && { start: Number(ports.start), end: Number(ports.end) },
  };
}

function parseTemplate(message: object | undefined, at: ParseContext): StringMatcherData {
  const template = (message as UriTemplateMatchConfig).path_template;
  const parsed = parseUriTemplate(template);
  if (!('problem' in parsed)) return { kind: 'regex', value: parsed.regex };
  const problem = `path_match_policy.path_template ${template} is invalid: ${parsed.problem}`;
  at.field('path_template').fail(problem, { got: template, envoy: problem });
  return { kind: 'exact', value: '', ignoreCase: false };
}

function parsePrincipal(message: Principal, at: ParseContext): RuleData {
  if (message.and_ids !== undefined) return all('and', message.and_ids.ids, at.field('and_ids'));
  if (message.or_ids !== undefined) return all('or', message.or_ids.ids, at.field('or_ids'));
  if (message.not_id !== undefined)
    return { kind: 'not', rule: parsePrincipal(message.not_id, at.field('not_id')) };
  if (message.authenticated !== undefined) {
    const name = message.authenticated.principal_name;
    const here = at.field('authenticated').field('principal_name');
    return { kind: 'authenticated', name: name && parseStringMatcher(name, here) };
  }
  if (message.source_ip !== undefined) return { kind: 'source_ip', range: parseCidr(message.source_ip) };
  if (message.direct_remote_ip !== undefined)
    return { kind: 'direct_remote_ip', range: parseCidr(message.direct_remote_ip) };
  if (message.remote_ip !== undefined) return { kind: 'remote_ip', range: parseCidr(message.remote_ip) };
  if (message.header !== undefined)
    return { kind: 'header', header: parseHeaderMatcher(message.header, at.field('header')) };
  if (message.url_path !== undefined) {
    return {
      kind: 'url_path',
      path: parseStringMatcher(message.url_path.path!, at.field('url_path').field('path')),
    };
  }
  if (message.metadata !== undefined) {
    return {
      kind: 'metadata',
      metadata: parseMetadataMatcher(message.metadata, at.field('metadata')),
      ofRoute: false,
    };
  }
  if (message.sourced_metadata !== undefined)
    return sourced(message.sourced_metadata, at.field('sourced_metadata'));
  if (message.filter_state !== undefined) {
    return {
      kind: 'filter_state',
      matcher: parseFilterStateMatcher(message.filter_state, at.field('filter_state')),
    };
  }
  if (message.custom !== undefined) at.field('custom').unsupported();
  return { kind: 'any' };

  function all(kind: 'and' | 'or', ids: readonly Principal[], here: ParseContext): RuleData {
    return { kind, rules: ids.map((it, i) => parsePrincipal(it, here.field('ids', i))) };
  }
}

function sourced(message: SourcedMetadata, at: ParseContext): RuleData {
  const metadata = parseMetadataMatcher(message.metadata_matcher!, at.field('metadata_matcher'));
  return { kind: 'metadata', metadata, ofRoute: message.metadata_source === 'ROUTE' };
}

function parseCidr(message: CidrRange): CidrData {
  return { address: message.address_prefix, prefixLength: message.prefix_len ?? 0 };
}
