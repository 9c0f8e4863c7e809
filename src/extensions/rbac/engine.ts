// Decides whether a request or a connection may pass. Rules become small objects once; a decision is a walk over them.
import { Cidr, ipOfAddress, portOfAddress } from '#base/cidr.ts';
import { type CelContext, CelProgram } from '#extension/cel/cel-program.ts';
import {
  compileFilterStateMatcher,
  compileHeaderMatcher,
  compileMetadataMatcher,
  compileStringMatcher,
} from '#extension/matchers/compile.ts';
import type { FilterStateMatcher } from '#extension/matchers/filter-state-matcher.ts';
import type { HeaderMatcher } from '#extension/matchers/header-matcher.ts';
import type { StringMatcher } from '#extension/matchers/string-matcher.ts';
import type { MetadataMatcher } from '#extension/matchers/value-matcher.ts';
import { type StreamInfo, upstreamAddressKey } from '#extension/stream-info.ts';
import type { HeaderMap } from '#http/header-map.ts';
import type { RbacRules, RuleData } from './config.ts';

/** Network filters have no headers: conditions on them never match there. */
interface Rule {
  matches(info: StreamInfo, headers: HeaderMap | undefined): boolean;
}

interface Policy {
  readonly name: string;
  readonly permission: Rule;
  readonly principal: Rule;
  readonly condition: CelProgram | undefined;
}

export interface RbacDecider {
  /** Name of the policy that matched in the last `decide`, or empty. */
  readonly matchedPolicy: string;
  /** Where something is only to be logged: whether the last one is. */
  readonly logHint: boolean | undefined;
  /** True: may pass. */
  decide(info: StreamInfo, headers: HeaderMap | undefined): boolean;
}

export class RbacEngine implements RbacDecider {
  readonly #allows: boolean;
  readonly #isLog: boolean;
  readonly #policies: readonly Policy[];
  matchedPolicy = '';

  constructor(rules: RbacRules) {
    this.#allows = rules.action === 'ALLOW';
    this.#isLog = rules.action === 'LOG';
    this.#policies = rules.policies.map((it) => ({
      name: it.name,
      permission: anyOf(it.permissions.map(compileRule)),
      principal: anyOf(it.principals.map(compileRule)),
      condition: it.condition && new CelProgram(it.condition),
    }));
  }

  get logHint(): boolean | undefined {
    return this.#isLog ? this.matchedPolicy !== '' : undefined;
  }

  decide(info: StreamInfo, headers: HeaderMap | undefined): boolean {
    const policies = this.#policies;
    this.matchedPolicy = '';
    for (let i = 0; i < policies.length; i++) {
      const policy = policies[i]!;
      if (
        policy.permission.matches(info, headers) &&
        policy.principal.matches(info, headers) &&
        (policy.condition === undefined || policy.condition.holds(celContext(info, headers)))
      ) {
        this.matchedPolicy = policy.name;
        return this.#isLog || this.#allows;
      }
    }
    return this.#isLog || !this.#allows;
  }
}

function compileRule(data: RuleData): Rule {
  switch (data.kind) {
    case 'and':
      return new AllOf(data.rules.map(compileRule));
    case 'or':
      return anyOf(data.rules.map(compileRule));
    case 'not':
      return new Not(compileRule(data.rule));
    case 'any':
      return always;
    case 'header':
      return new HeaderRule(compileHeaderMatcher(data.header));
    case 'url_path':
      return new PathRule(compileStringMatcher(data.path));
    case 'destination_ip':
    case 'source_ip':
    case 'direct_remote_ip':
    case 'remote_ip':
      return new AddressRule(data.kind, Cidr.of(data.range.address, data.range.prefixLength)!);
    case 'destination_port':
      return new PortRule(data.start, data.end);
    case 'metadata':
      return new MetadataRule(compileMetadataMatcher(data.metadata), data.ofRoute);
    case 'server_name':
      return new ServerNameRule(compileStringMatcher(data.name));
    case 'upstream_address':
      return new UpstreamAddressRule(data);
    case 'authenticated':
      return new AuthenticatedRule(data.name === undefined ? undefined : compileStringMatcher(data.name));
    case 'filter_state':
      return new FilterStateRule(compileFilterStateMatcher(data.matcher));
  }
}

/** Responses are not there yet. */
function celContext(info: StreamInfo, requestHeaders: HeaderMap | undefined): CelContext {
  return { info, requestHeaders, responseHeaders: undefined, responseTrailers: undefined };
}

const always: Rule = { matches: () => true };

function anyOf(rules: readonly Rule[]): Rule {
  return rules.length === 1 ? rules[0]! : new AnyOf(rules);
}

class AllOf implements Rule {
  readonly #rules: readonly Rule[];

  constructor(rules: readonly Rule[]) {
    this.#rules = rules;
  }

  matches(info: StreamInfo, headers: HeaderMap | undefined): boolean {
    for (let i = 0; i < this.#rules.length; i++) if (!this.#rules[i]!.matches(info, headers)) return false;
    return true;
  }
}

class AnyOf implements Rule {
  readonly #rules: readonly Rule[];

  constructor(rules: readonly Rule[]) {
    this.#rules = rules;
  }

  matches(info: StreamInfo, headers: HeaderMap | undefined): boolean {
    for (let i = 0; i < this.#rules.length; i++) if (this.#rules[i]!.matches(info, headers)) return true;
    return false;
  }
}

class Not implements Rule {
  readonly #rule: Rule;

  constructor(rule: Rule) {
    this.#rule = rule;
  }

  matches(info: StreamInfo, headers: HeaderMap | undefined): boolean {
    return !this.#rule.matches(info, headers);
  }
}

class HeaderRule implements Rule {
  readonly #matcher: HeaderMatcher;

  constructor(matcher: HeaderMatcher) {
    this.#matcher = matcher;
  }

  matches(_info: StreamInfo, headers: HeaderMap | undefined): boolean {
    return headers !== undefined && this.#matcher.matches(headers);
  }
}

/** The path without its query and fragment. */
class PathRule implements Rule {
  readonly #matcher: StringMatcher;

  constructor(matcher: StringMatcher) {
    this.#matcher = matcher;
  }

  matches(_info: StreamInfo, headers: HeaderMap | undefined): boolean {
    if (headers === undefined || headers.path === '') return false;
    const { path } = headers;
    let end = path.indexOf('?');
    const fragment = path.indexOf('#');
    if (fragment >= 0 && (end < 0 || fragment < end)) end = fragment;
    return this.#matcher.matches(end < 0 ? path : path.slice(0, end));
  }
}

class AddressRule implements Rule {
  readonly #kind: 'destination_ip' | 'source_ip' | 'direct_remote_ip' | 'remote_ip';
  readonly #range: Cidr;

  constructor(kind: 'destination_ip' | 'source_ip' | 'direct_remote_ip' | 'remote_ip', range: Cidr) {
    this.#kind = kind;
    this.#range = range;
  }

  matches(info: StreamInfo): boolean {
    return this.#range.contains(ipOfAddress(this.#address(info)));
  }

  #address(info: StreamInfo): string {
    switch (this.#kind) {
      case 'destination_ip':
        return info.connection.localAddress;
      case 'remote_ip':
        return info.remoteAddress;
      case 'source_ip':
        return info.connection.remoteAddress;
      case 'direct_remote_ip':
        return info.connection.directRemoteAddress;
    }
  }
}

class PortRule implements Rule {
  readonly #start: number;
  readonly #end: number;

  constructor(start: number, end: number) {
    this.#start = start;
    this.#end = end;
  }

  matches(info: StreamInfo): boolean {
    const port = portOfAddress(info.connection.localAddress);
    return port >= this.#start && port < this.#end;
  }
}

class MetadataRule implements Rule {
  readonly #matcher: MetadataMatcher;
  readonly #ofRoute: boolean;

  constructor(matcher: MetadataMatcher, ofRoute: boolean) {
    this.#matcher = matcher;
    this.#ofRoute = ofRoute;
  }

  matches(info: StreamInfo): boolean {
    return this.#matcher.matches(this.#ofRoute ? info.routeMetadata : info.dynamicMetadata);
  }
}

class ServerNameRule implements Rule {
  readonly #matcher: StringMatcher;

  constructor(matcher: StringMatcher) {
    this.#matcher = matcher;
  }

  matches(info: StreamInfo): boolean {
    return this.#matcher.matches(info.connection.requestedServerName);
  }
}

/** The address that a dynamic forward proxy has found; without one it does not hold. */
class UpstreamAddressRule implements Rule {
  readonly #range: Cidr | undefined;
  readonly #ports: { readonly start: number; readonly end: number } | undefined;

  constructor({ range, ports }: RuleData & { readonly kind: 'upstream_address' }) {
    this.#range = range && Cidr.of(range.address, range.prefixLength)!;
    this.#ports = ports;
  }

  matches(info: StreamInfo): boolean {
    const key = upstreamAddressKey;
    const address = (info.filterState?.get(key) ?? info.connection.filterState?.get(key))?.text;
    if (address === undefined) return false;
    if (this.#range !== undefined && !this.#range.contains(ipOfAddress(address))) return false;
    const port = portOfAddress(address);
    return this.#ports === undefined || (port >= this.#ports.start && port <= this.#ports.end);
  }
}

/** The name of a client certificate: its URI names, else its DNS names, else its subject. */
class AuthenticatedRule implements Rule {
  readonly #name: StringMatcher | undefined;

  constructor(name: StringMatcher | undefined) {
    this.#name = name;
  }

  matches(info: StreamInfo): boolean {
    const { tls } = info.connection;
    if (tls === undefined || !tls.peerPresented) return false;
    if (this.#name === undefined) return true;
    const certificate = tls.peerCertificate();
    if (certificate === undefined) return false;
    const names =
      certificate.uriSans.length > 0
        ? certificate.uriSans
        : certificate.dnsSans.length > 0
          ? certificate.dnsSans
          : [certificate.subject];
    for (let i = 0; i < names.length; i++) if (this.#name.matches(names[i]!)) return true;
    return false;
  }
}

class FilterStateRule implements Rule {
  readonly #matcher: FilterStateMatcher;

  constructor(matcher: FilterStateMatcher) {
    this.#matcher = matcher;
  }

  matches(info: StreamInfo): boolean {
    return this.#matcher.matches(info.filterState);
  }
}
