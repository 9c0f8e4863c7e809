// Names to addresses, on the main thread: IP literals, the hosts file, then DNS with the search list of resolv.conf. Rejects with a
// `DnsError` when a name has no answer.
import { promises as dns } from 'node:dns';
import { readFileSync, statSync } from 'node:fs';
import { canonicalIp, ipVersion } from '#base/cidr.ts';
import { LookupFamily } from './discovery-config.ts';
import type { AskedResolvers } from './parse-resolvers.ts';

export interface DnsAnswer {
  /** In the order of the answer; IPv4 before IPv6 for `All`. */
  readonly addresses: readonly string[];
  /** The shortest TTL of the records; undefined for answers without one (hosts file). */
  readonly ttlMs: number | undefined;
}

export class DnsError extends Error {
  override readonly name = 'DnsError';
  /** As Node has it: `ENOTFOUND`. */
  readonly code: string;
  /** The name exists without such addresses, or does not exist at all: not a failure of the server. */
  readonly isEmpty: boolean;

  constructor(name: string, code: string, isEmpty: boolean) {
    super(`DNS: no address for ${name} (${code})`);
    this.code = code;
    this.isEmpty = isEmpty;
  }
}

export interface DnsResolverOptions {
  /** Default: the file named by CARES_HOSTS, as c-ares takes it, else /etc/hosts. */
  readonly hostsFile?: string;
  /** Name servers; default: those of the system. For tests: a server on loopback. */
  readonly servers?: readonly string[];
  readonly resolvConf?: string;
  /** Of one question to one server; default: 5 s. */
  readonly timeoutMs?: number;
  readonly tries?: number;
  /** As `getaddrinfo` does it. */
  readonly usesSystem?: boolean;
}

/** As configured. */
export function resolverFor({ servers, searches, ...more }: AskedResolvers): DnsResolver {
  return new DnsResolver({
    ...more,
    ...(servers.length > 0 && { servers }),
    ...(!searches && { resolvConf: '' }),
  });
}

export class DnsResolver {
  readonly #hosts: HostsFile;
  readonly #resolver: dns.Resolver;
  readonly #search: SearchList;
  readonly #usesSystem: boolean;

  constructor(options: DnsResolverOptions = {}) {
    this.#hosts = new HostsFile(options.hostsFile ?? process.env.CARES_HOSTS ?? '/etc/hosts');
    this.#resolver = new dns.Resolver({ timeout: options.timeoutMs ?? 5000, tries: options.tries ?? 2 });
    if (options.servers !== undefined) this.#resolver.setServers([...options.servers]);
    this.#search = readSearchList(options.resolvConf ?? '/etc/resolv.conf');
    this.#usesSystem = options.usesSystem ?? false;
  }

  async resolve(name: string, family: LookupFamily): Promise<DnsAnswer> {
    const literal = canonicalIp(name);
    if (literal !== undefined && choose([literal], family).length > 0)
      return { addresses: [literal], ttlMs: undefined };
    if (this.#usesSystem) return await askSystem(name, family);
    const local = this.#hosts.addresses(name, family);
    if (local.length > 0) return { addresses: local, ttlMs: undefined };
    let failure = new DnsError(name, 'ENOTFOUND', true);
    for (const candidate of candidates(name, this.#search)) {
      try {
        return await this.#query(candidate, family);
      } catch (error) {
        if (!(error instanceof DnsError)) throw error;
        failure = error;
        if (!error.isEmpty) break;
      }
    }
    throw failure;
  }

  /** What is under way rejects. */
  cancel(): void {
    this.#resolver.cancel();
  }

  async #query(name: string, family: LookupFamily): Promise<DnsAnswer> {
    switch (family) {
      case LookupFamily.V4Only:
        return this.#ask(name, 4);
      case LookupFamily.V6Only:
        return this.#ask(name, 6);
      case LookupFamily.Auto:
        return this.#ask(name, 6).catch((error: unknown) => this.#second(error, name, 4));
      case LookupFamily.V4Preferred:
        return this.#ask(name, 4).catch((error: unknown) => this.#second(error, name, 6));
      case LookupFamily.All: {
        const both = await Promise.allSettled([this.#ask(name, 4), this.#ask(name, 6)]);
        const answers = both.flatMap((it) => (it.status === 'fulfilled' ? [it.value] : []));
        if (answers.length === 0) throw (both[0] as PromiseRejectedResult).reason;
        const ttls = answers.flatMap((it) => it.ttlMs ?? []);
        return {
          addresses: answers.flatMap((it) => it.addresses),
          ttlMs: ttls.length === 0 ? undefined : Math.min(...ttls),
        };
      }
    }
  }

  #second(error: unknown, name: string, version: 4 | 6): Promise<DnsAnswer> {
    if (!(error instanceof DnsError)) throw error;
    return this.#ask(name, version);
  }

  async #ask(name: string, version: 4 | 6): Promise<DnsAnswer> {
    try {
      const records =
        version === 4
          ? await this.#resolver.resolve4(name, { ttl: true })
          : await this.#resolver.resolve6(name, { ttl: true });
      if (records.length === 0) throw new DnsError(name, 'ENODATA', true);
      return {
        addresses: records.map((it) => canonicalIp(it.address) ?? it.address),
        ttlMs: Math.min(...records.map((it) => it.ttl)) * 1000,
      };
    } catch (error) {
      if (error instanceof DnsError) throw error;
      const code = (error as NodeJS.ErrnoException).code ?? 'unknown';
      throw new DnsError(name, code, code === 'ENOTFOUND' || code === 'ENODATA');
    }
  }
}

/** It says no TTL: Envoy takes a minute. */
async function askSystem(name: string, family: LookupFamily): Promise<DnsAnswer> {
  try {
    const found = await dns.lookup(name, { all: true, order: 'verbatim' });
    const addresses = choose(
      [...new Set(found.map(({ address }) => canonicalIp(address) ?? address))],
      family,
    );
    if (addresses.length === 0) throw new DnsError(name, 'ENODATA', true);
    return { addresses, ttlMs: 60_000 };
  } catch (error) {
    if (error instanceof DnsError) throw error;
    const { code = 'unknown' } = error as NodeJS.ErrnoException;
    throw new DnsError(name, code, code === 'ENOTFOUND' || code === 'ENODATA');
  }
}

/** Read again when it has changed. */
class HostsFile {
  readonly #path: string;
  #readMs = -1;
  #names = new Map<string, string[]>();

  constructor(path: string) {
    this.#path = path;
  }

  /** RFC 6761 6.3: localhost is never asked of a server. In a family that the file does not have it in, it is loopback. */
  addresses(name: string, family: LookupFamily): readonly string[] {
    this.#refresh();
    const found = this.#names.get(name.toLowerCase().replace(/\.$/, '')) ?? [];
    if (!/(^|\.)localhost\.?$/i.test(name)) return choose(found, family);
    const both = ([4, 6] as const).flatMap((version) => {
      const known = found.filter((it) => ipVersion(it) === version);
      return known.length > 0 ? known : version === 4 ? '127.0.0.1' : '::1';
    });
    return choose(both, family);
  }

  #refresh(): void {
    let text: string;
    try {
      const { mtimeMs } = statSync(this.#path);
      if (mtimeMs === this.#readMs) return;
      this.#readMs = mtimeMs;
      text = readFileSync(this.#path, 'utf8');
    } catch {
      // Without the file only DNS is asked.
      this.#names = new Map();
      this.#readMs = -1;
      return;
    }
    const names = new Map<string, string[]>();
    for (const line of text.split('\n')) {
      const [address = '', ...aliases] = line.replace(/#.*/, '').trim().split(/\s+/);
      const ip = canonicalIp(address);
      if (ip === undefined) continue;
      for (const alias of aliases) {
        const key = alias.toLowerCase();
        const known = names.get(key);
        if (known === undefined) names.set(key, [ip]);
        else if (!known.includes(ip)) known.push(ip);
      }
    }
    this.#names = names;
  }
}

function choose(addresses: readonly string[], family: LookupFamily): readonly string[] {
  const of = (version: number) => addresses.filter((it) => ipVersion(it) === version);
  switch (family) {
    case LookupFamily.V4Only:
      return of(4);
    case LookupFamily.V6Only:
      return of(6);
    case LookupFamily.Auto:
      return of(6).length > 0 ? of(6) : of(4);
    case LookupFamily.V4Preferred:
      return of(4).length > 0 ? of(4) : of(6);
    case LookupFamily.All:
      return [...of(4), ...of(6)];
  }
}

interface SearchList {
  readonly domains: readonly string[];
  readonly ndots: number;
}

function readSearchList(path: string): SearchList {
  let text = '';
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    // No file, no search list.
  }
  let domains: readonly string[] = [];
  let ndots = 1;
  for (const line of text.split('\n')) {
    const [keyword, ...words] = line.trim().split(/\s+/);
    if (keyword === 'search' || keyword === 'domain') domains = words;
    const option = keyword === 'options' ? words.find((it) => it.startsWith('ndots:')) : undefined;
    if (option !== undefined) ndots = Number(option.slice('ndots:'.length)) || 1;
  }
  return { domains, ndots };
}

/** What is asked in turn: a name with enough dots first as it is, another first below the search domains. */
export function candidates(name: string, { domains, ndots }: SearchList): string[] {
  if (name.endsWith('.')) return [name.slice(0, -1)];
  const below = domains.filter((it) => it !== '.').map((domain) => `${name}.${domain}`);
  return name.split('.').length - 1 >= ndots ? [name, ...below] : [...below, name];
}
