// The override_host policy: hosts that a header or the dynamic metadata of a request names, one after the other for each attempt,
// and the fallback policy where none of them is there.
import { addDynamicMetadata } from '#extension/dynamic-metadata.ts';
import type { Host, HostSet, LoadBalancer, PickContext } from '#extension/load-balancer.ts';
import type { StreamInfo } from '#extension/stream-info.ts';

export interface MetadataPath {
  readonly key: string;
  /** Not empty. */
  readonly path: readonly string[];
}

export interface OverrideHostConfig {
  readonly sources: readonly OverrideHostSource[];
  /** Where the address of the host that was chosen goes. */
  readonly selectedHostKey: MetadataPath | undefined;
}

/** One of both. */
export interface OverrideHostSource {
  /** Lower-case; empty: none. */
  readonly header: string;
  readonly metadata: MetadataPath | undefined;
}

/** What a request has asked for and not got yet. */
interface Wanted {
  readonly addresses: readonly string[];
  next: number;
}

export class OverrideHost implements LoadBalancer {
  readonly #config: OverrideHostConfig;
  readonly #fallback: LoadBalancer;
  #hosts = new Map<string, Host>();
  readonly #wanted = new WeakMap<StreamInfo, Wanted>();

  constructor(config: OverrideHostConfig, fallback: LoadBalancer) {
    this.#config = config;
    this.#fallback = fallback;
  }

  update(sets: readonly HostSet[]): void {
    this.#hosts = new Map(sets.flatMap(({ hosts }) => hosts.map((it) => [it.address, it] as const)));
    this.#fallback.update(sets);
  }

  pick(context: PickContext): Host | undefined {
    const { streamInfo } = context;
    const host =
      (streamInfo === undefined ? undefined : this.#named(context, streamInfo)) ??
      this.#fallback.pick(context);
    const { selectedHostKey } = this.#config;
    if (host !== undefined && selectedHostKey !== undefined && streamInfo !== undefined) {
      let value: unknown = host.address;
      for (let i = selectedHostKey.path.length - 1; i > 0; i--) value = { [selectedHostKey.path[i]!]: value };
      addDynamicMetadata(streamInfo, selectedHostKey.key, { [selectedHostKey.path[0]!]: value });
    }
    return host;
  }

  /** Whatever its health. */
  #named(context: PickContext, streamInfo: StreamInfo): Host | undefined {
    let wanted = this.#wanted.get(streamInfo);
    if (wanted === undefined) {
      wanted = { addresses: this.#addresses(context, streamInfo), next: 0 };
      this.#wanted.set(streamInfo, wanted);
    }
    while (wanted.next < wanted.addresses.length) {
      const host = this.#hosts.get(wanted.addresses[wanted.next++]!);
      if (host !== undefined) return host;
    }
    return undefined;
  }

  #addresses({ requestHeaders }: PickContext, streamInfo: StreamInfo): readonly string[] {
    const all: string[] = [];
    for (const { header, metadata } of this.#config.sources) {
      const text = metadata === undefined ? requestHeaders?.get(header) : metadataText(streamInfo, metadata);
      for (const it of (text ?? '').split(',')) if (it.trim() !== '') all.push(it.trim());
    }
    return all;
  }
}

function metadataText({ dynamicMetadata }: StreamInfo, { key, path }: MetadataPath): string | undefined {
  let value: unknown = dynamicMetadata?.[key];
  for (let i = 0; i < path.length; i++) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = (value as Record<string, unknown>)[path[i]!];
  }
  return typeof value === 'string' ? value : undefined;
}
