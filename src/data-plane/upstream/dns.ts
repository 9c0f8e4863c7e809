// Names to addresses on the main thread: the hosts file and the system's resolver, with the record's time to live where it counts.
import { type LookupAddress, lookup, Resolver } from 'node:dns';
import { LookupFamily } from './discovery-config.ts';

export interface Resolution {
  /** Empty: the name exists and has no address of the family. */
  readonly addresses: readonly string[];
  /** Of the shortest-lived record; undefined when it is not known (hosts file) or was not asked for. */
  readonly ttlMs: number | undefined;
}

/** Rejects when the name cannot be resolved at all. */
export async function resolveName(
  name: string,
  family: LookupFamily,
  wantsTtl: boolean,
): Promise<Resolution> {
  const all = await lookupAll(name);
  const v4 = all.filter((it) => it.family === 4).map((it) => it.address);
  const v6 = all.filter((it) => it.family === 6).map((it) => it.address);
  const addresses = choose(family, v4, v6);
  return { addresses, ttlMs: wantsTtl ? await timeToLive(name, addresses) : undefined };
}

function choose(family: LookupFamily, v4: readonly string[], v6: readonly string[]): readonly string[] {
  switch (family) {
    case LookupFamily.V4Only:
      return v4;
    case LookupFamily.V6Only:
      return v6;
    case LookupFamily.V4Preferred:
      return v4.length > 0 ? v4 : v6;
    case LookupFamily.All:
      return [...v4, ...v6];
    default:
      return v6.length > 0 ? v6 : v4;
  }
}

function lookupAll(name: string): Promise<readonly LookupAddress[]> {
  return new Promise((resolve, reject) => {
    lookup(name, { all: true, order: 'verbatim' }, (error, addresses) => {
      if (error) reject(error);
      else resolve([...new Map(addresses.map((it) => [it.address, it])).values()]);
    });
  });
}

/** The resolver behind `lookup` hides it: DNS is asked itself. A name of the hosts file has none. */
function timeToLive(name: string, addresses: readonly string[]): Promise<number | undefined> {
  const first = addresses[0];
  if (first === undefined) return Promise.resolve(undefined);
  const resolver = new Resolver({ timeout: 2000, tries: 2 });
  return new Promise((resolve) => {
    const done = (error: Error | null, records: readonly { readonly ttl: number }[]) =>
      resolve(error || records.length === 0 ? undefined : Math.min(...records.map((it) => it.ttl)) * 1000);
    if (first.includes(':')) resolver.resolve6(name, { ttl: true }, done);
    else resolver.resolve4(name, { ttl: true }, done);
  });
}
