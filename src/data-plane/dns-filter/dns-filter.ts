// dns_filter: a small DNS server on a UDP listener. It answers from its table and from the members of clusters, and asks other
// resolvers about the rest when it may.
import { randomInt } from 'node:crypto';
import { ipBytes, ipVersion } from '#base/cidr.ts';
import { type TimerOwner, type TimerWheel, WheelTimer } from '#base/timer-wheel.ts';
import { type UdpFilter, UdpFilterStatus, type UdpListener } from '#extension/udp-filter.ts';
import type { ClusterLookup } from '../upstream/cluster.ts';
import type { DnsEndpoint, DnsFilterConfig, DnsForwardConfig, DnsService } from './dns-filter-config.ts';
import type { DnsFilterStats } from './dns-filter-stats.ts';
import {
  type DnsQuery,
  type DnsRecord,
  QueryVerdict,
  RecordType,
  type ResponseCode,
  readQuery,
  writeResponse,
} from './dns-message.ts';
import { defaultTtlSeconds, domainSuffix } from './dns-table.ts';

export interface DnsFilterParts {
  readonly config: DnsFilterConfig;
  readonly stats: DnsFilterStats;
  readonly clusters: ClusterLookup;
  readonly timers: TimerWheel;
  /** Rejects, or resolves to nothing, when the name has no such address. */
  readonly resolve: (name: string, version: 4 | 6) => Promise<readonly string[]>;
  /** Nobody waits for what is being resolved. */
  readonly cancelResolving: () => void;
  readonly log: (query: DnsQuery, answers: number, code: ResponseCode) => void;
}

/** A query and where its answer goes. */
interface Asked {
  readonly query: DnsQuery;
  readonly address: string;
  readonly port: number;
  readonly listener: UdpListener;
}

export class DnsFilter implements UdpFilter {
  readonly parts: DnsFilterParts;
  readonly #suffixes: ReadonlyMap<string, ReadonlyMap<string, DnsEndpoint>>;
  readonly #ttls: ReadonlyMap<string, number>;
  /** Where each list of addresses begins: the first configured one must not take all. */
  readonly #offsets = new Map<readonly string[], number>();
  readonly #lookups = new Set<Lookup>();
  #isClosed = false;

  constructor(parts: DnsFilterParts) {
    this.parts = parts;
    this.#suffixes = new Map(parts.config.suffixes.map(([suffix, domains]) => [suffix, new Map(domains)]));
    this.#ttls = new Map(parts.config.ttlSeconds);
  }

  onDatagram(bytes: Buffer, address: string, port: number, listener: UdpListener): UdpFilterStatus {
    const { stats } = this.parts;
    stats.downstreamRxBytes.record(bytes.length);
    stats.downstreamRxQueries.value++;
    const query = readQuery(bytes);
    const asked = { query, address, port, listener };
    switch (query.verdict) {
      case QueryVerdict.Fine:
        stats.queries.count(query.type);
        if (query.hasAdditional) stats.queriesWithAdditionalRrs.value++;
        this.#answer(asked);
        return UdpFilterStatus.StopIteration;
      case QueryVerdict.Underflow:
        stats.queryBufferUnderflow.value++;
        break;
      case QueryVerdict.NotAQuestion:
        stats.queriesWithAnsOrAuthorityRrs.value++;
        break;
      case QueryVerdict.Unreadable:
        stats.queryParsingFailure.value++;
        break;
      case QueryVerdict.WrongCount:
        break;
    }
    stats.downstreamRxInvalidQueries.value++;
    this.#respond(asked, [], []);
    return UdpFilterStatus.StopIteration;
  }

  onReceiveError(): UdpFilterStatus {
    this.parts.stats.downstreamRxErrors.value++;
    return UdpFilterStatus.StopIteration;
  }

  onClose(): void {
    this.#isClosed = true;
    for (const it of this.#lookups) it.cancel();
    this.parts.cancelResolving();
  }

  #answer(asked: Asked): void {
    const { stats, config } = this.parts;
    const { type } = asked.query;
    const name = config.ignoresCase ? asked.query.name.toLowerCase() : asked.query.name;
    const answers: DnsRecord[] = [];
    const additional: DnsRecord[] = [];
    const isKnown = this.#suffixes.has(domainSuffix(name));
    if (isKnown) stats.knownDomainQueries.value++;
    if (isKnown || config.forward === undefined) {
      const isFound =
        type === RecordType.Srv
          ? this.#service(asked.query, name, answers, additional)
          : (type === RecordType.A || type === RecordType.Aaaa) &&
            this.#addresses(asked.query, name, answers);
      if (isFound || config.forward === undefined) {
        if (answers.length === 0) stats.unansweredQueries.value++;
        this.#respond(asked, answers, additional);
        return;
      }
    }
    this.#forward(asked, config.forward!);
  }

  /** The exact name, then each wildcard above it. */
  #endpoint(name: string): DnsEndpoint | undefined {
    const domains = this.#suffixes.get(domainSuffix(name));
    if (domains === undefined) return undefined;
    for (let at = 0; at >= 0; at = name.indexOf('.', at + 1)) {
      const endpoint = domains.get(name.slice(at));
      if (endpoint !== undefined) return endpoint;
    }
    return undefined;
  }

  #ttl(name: string): number {
    return this.#ttls.get(name) ?? defaultTtlSeconds;
  }

  /** False: nobody here knows the name. */
  #addresses(query: DnsQuery, name: string, answers: DnsRecord[]): boolean {
    const { stats, clusters } = this.parts;
    const endpoint = this.#endpoint(name);
    const add = (ip: string, ttl: number): boolean => {
      if (typeOf(ip) !== query.type) return false;
      answers.push({ kind: 'address', name: query.name, type: query.type, ttl, address: ipBytes(ip) });
      return true;
    };
    // A name may be a cluster's without being in the table.
    const clusterName = endpoint?.cluster ?? name;
    let isFound = false;
    for (const host of clusters.get(clusterName)?.hosts.values() ?? []) {
      if (host.port < 0 || !add(host.ip, this.#ttl(clusterName))) continue;
      stats.clusterAnswers.count(query.type);
      isFound = true;
    }
    if (isFound) return true;
    for (const ip of this.#rotated(endpoint?.addresses ?? [])) {
      isFound = true;
      if (add(ip, this.#ttl(name))) stats.localAnswers.count(query.type);
    }
    return isFound;
  }

  #service(query: DnsQuery, name: string, answers: DnsRecord[], additional: DnsRecord[]): boolean {
    const service = this.#endpoint(name)?.service;
    if (service === undefined) return false;
    return (
      this.#clusterService(query, service, answers, additional) ||
      this.#hostService(query, service, answers, additional)
    );
  }

  /** Only the first target may be a cluster: a record for each of its members. */
  #clusterService(
    query: DnsQuery,
    service: DnsService,
    answers: DnsRecord[],
    additional: DnsRecord[],
  ): boolean {
    const { stats, clusters } = this.parts;
    const target = service.targets[0];
    if (target === undefined || !target.isCluster) return false;
    let isFound = false;
    for (const host of clusters.get(target.name)?.hosts.values() ?? []) {
      if (host.port < 0) continue;
      answers.push({
        kind: 'service',
        name: query.name,
        ttl: service.ttlSeconds,
        target: target.name,
        priority: target.priority,
        weight: target.weight,
        port: target.port === 0 ? host.port : target.port,
      });
      stats.clusterAnswers.count(RecordType.Srv);
      additional.push(addressRecord(target.name, host.ip, this.#ttl(target.name)));
      stats.clusterAnswers.count(typeOf(host.ip));
      isFound = true;
    }
    return isFound;
  }

  /** A record for each target whose addresses are in the table. */
  #hostService(query: DnsQuery, service: DnsService, answers: DnsRecord[], additional: DnsRecord[]): boolean {
    const { stats } = this.parts;
    let isFound = false;
    for (const { name, priority, weight, port } of service.targets) {
      const addresses = this.#endpoint(name)?.addresses;
      if (addresses === undefined) continue;
      stats.localAnswers.count(RecordType.Srv);
      answers.push({
        kind: 'service',
        name: query.name,
        ttl: service.ttlSeconds,
        target: name,
        priority,
        weight,
        port,
      });
      for (const ip of this.#rotated(addresses)) {
        stats.localAnswers.count(typeOf(ip));
        additional.push(addressRecord(name, ip, this.#ttl(name)));
        isFound = true;
      }
    }
    return isFound;
  }

  #rotated(addresses: readonly string[]): readonly string[] {
    if (addresses.length < 2) return addresses;
    let offset = this.#offsets.get(addresses);
    if (offset === undefined) {
      offset = randomInt(addresses.length);
      this.#offsets.set(addresses, offset);
    }
    return [...addresses.slice(offset), ...addresses.slice(0, offset)];
  }

  #forward(asked: Asked, config: DnsForwardConfig): void {
    const { type } = asked.query;
    // Envoy lets one more than the limit wait.
    const isPossible =
      (type === RecordType.A || type === RecordType.Aaaa) && this.#lookups.size <= config.maxPending;
    if (!isPossible) {
      this.#resolved(asked, []);
      return;
    }
    const lookup = new Lookup(this, asked, config);
    this.#lookups.add(lookup);
    lookup.start();
  }

  /** For `Lookup`: it is over. */
  onLookupEnd(lookup: Lookup, asked: Asked, addresses: readonly string[]): void {
    this.#lookups.delete(lookup);
    if (!this.#isClosed) this.#resolved(asked, addresses);
  }

  #resolved(asked: Asked, addresses: readonly string[]): void {
    const { stats, config } = this.parts;
    const { name, type } = asked.query;
    stats.externallyResolvedQueries.value++;
    if (addresses.length === 0) stats.unansweredQueries.value++;
    stats.externalQueries.count(type);
    const ttl = this.#ttl(config.ignoresCase ? name.toLowerCase() : name);
    const answers = addresses.flatMap((ip) => (typeOf(ip) === type ? addressRecord(name, ip, ttl) : []));
    for (const _ of answers) stats.externalAnswers.count(type);
    this.#respond(asked, answers, []);
  }

  #respond(
    { query, address, port, listener }: Asked,
    answers: readonly DnsRecord[],
    additional: readonly DnsRecord[],
  ): void {
    const { stats, config, log } = this.parts;
    const { bytes, code } = writeResponse(
      query,
      config.forward !== undefined,
      answers,
      additional,
      Math.random(),
    );
    stats.downstreamTxResponses.value++;
    stats.downstreamTxBytes.record(bytes.length);
    listener.send(bytes, address, port);
    log(query, answers.length, code);
  }
}

/** A name that another resolver is asked about. What comes too late is not waited for; it is asked again as often as configured. */
class Lookup implements TimerOwner {
  readonly #filter: DnsFilter;
  readonly #asked: Asked;
  readonly #config: DnsForwardConfig;
  readonly #timer = new WheelTimer(this);
  #retries: number;
  #isOver = false;

  constructor(filter: DnsFilter, asked: Asked, config: DnsForwardConfig) {
    this.#filter = filter;
    this.#asked = asked;
    this.#config = config;
    this.#retries = config.retries;
  }

  start(): void {
    const { resolve, timers } = this.#filter.parts;
    const { name, type } = this.#asked.query;
    timers.start(this.#timer, this.#config.timeoutMs);
    resolve(name, type === RecordType.A ? 4 : 6).then(
      (addresses) => this.#end(addresses),
      () => this.#end([]),
    );
  }

  onTimeout(): void {
    if (this.#retries === 0) this.#end([]);
    else {
      this.#retries--;
      this.start();
    }
  }

  cancel(): void {
    this.#end([]);
  }

  #end(addresses: readonly string[]): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#filter.parts.timers.cancel(this.#timer);
    this.#filter.onLookupEnd(this, this.#asked, addresses);
  }
}

function typeOf(ip: string): number {
  return ipVersion(ip) === 6 ? RecordType.Aaaa : RecordType.A;
}

function addressRecord(name: string, ip: string, ttl: number): DnsRecord {
  return { kind: 'address', name, type: typeOf(ip), ttl, address: ipBytes(ip) };
}
