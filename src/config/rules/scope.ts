// What rules know beyond the message they look at: which clusters, secrets and endpoints the files define together.

import type { Message, MessageType } from '#schema/descriptor.ts';
import type { MessageTypes } from '#schema/messages/type-map.ts';
import { messageOfTypeUrl } from '#schema/registry.ts';
import { nearest } from '../edit-distance.ts';
import type { LoadOptions } from '../load-options.ts';

type Bootstrap = MessageTypes['envoy.config.bootstrap.v3.Bootstrap'];
type Cluster = MessageTypes['envoy.config.cluster.v3.Cluster'];
type DnsCacheConfig = MessageTypes['envoy.extensions.common.dynamic_forward_proxy.v3.DnsCacheConfig'];
type Secret = MessageTypes['envoy.extensions.transport_sockets.tls.v3.Secret'];

export const secretKinds = [
  'tls_certificate',
  'session_ticket_keys',
  'validation_context',
  'generic_secret',
] as const;

export class RuleScope {
  readonly options: LoadOptions;
  /** By name; the first of two with one name. */
  readonly clusters = new Map<string, Cluster>();
  /** Names by what the secret is: one name may stand for one of each kind. */
  readonly secrets = {
    tls_certificate: new Set<string>(),
    session_ticket_keys: new Set<string>(),
    validation_context: new Set<string>(),
    generic_secret: new Set<string>(),
  };
  /** Names of the load assignments in discovery files, and the service names that EDS clusters ask for. */
  readonly loadAssignments = new Set<string>();
  readonly edsServices = new Set<string>();
  /** What a DNS cache of a name was configured with first. */
  readonly dnsCaches = new Map<string, DnsCacheConfig>();
  bootstrap: Bootstrap | undefined = undefined;
  readonly #nearest = new Map<string, string | undefined>();
  /** The missing node is one mistake, however many sources need it. */
  isNodeReported = false;
  /** Resources without the bootstrap that uses them: what is not defined may be defined elsewhere. */
  get isPartial(): boolean {
    return this.bootstrap === undefined;
  }

  constructor(options: LoadOptions) {
    this.options = options;
  }

  /** Collects what a message defines. */
  add(type: MessageType, message: Message, withOthers: boolean): void {
    switch (type.name) {
      case 'google.protobuf.Any': {
        const packed = messageOfTypeUrl((message['@type'] as string | undefined) ?? '');
        if (packed !== undefined) this.add(packed, message, withOthers);
        break;
      }
      case 'envoy.service.discovery.v3.DiscoveryResponse':
        for (const resource of message.resources as Message[]) this.addAny(resource);
        break;
      case 'envoy.config.bootstrap.v3.Bootstrap':
        this.#addBootstrap(message as unknown as Bootstrap);
        break;
      case 'envoy.config.bootstrap.v3.Bootstrap.StaticResources':
        for (const cluster of message.clusters as unknown as readonly Cluster[]) this.#addCluster(cluster);
        break;
      case 'envoy.config.cluster.v3.Cluster':
        this.#addCluster(message as unknown as Cluster);
        break;
      case 'envoy.config.endpoint.v3.ClusterLoadAssignment':
        this.loadAssignments.add(message.cluster_name as string);
        break;
      case 'envoy.extensions.transport_sockets.tls.v3.Secret':
        this.#addSecret(message as unknown as Secret);
        break;
    }
  }

  addAny(any: Message): void {
    const type = messageOfTypeUrl((any['@type'] as string | undefined) ?? '');
    if (type !== undefined) this.add(type, any, true);
  }

  /** True when clusters may come from a control plane, so that one that is not here may exist later. */
  get hasDynamicClusters(): boolean {
    const dynamic = this.bootstrap?.dynamic_resources;
    return (
      dynamic !== undefined && (dynamic.cds_config !== undefined || dynamic.cds_resources_locator !== '')
    );
  }

  /** The cluster that `name` was probably meant to be. Only the first mistakes get an answer: looking costs a millisecond among thousands. */
  nearestCluster(name: string): string | undefined {
    if (!this.#nearest.has(name)) {
      if (this.#nearest.size >= 50) return undefined;
      this.#nearest.set(name, nearest(name, this.clusters.keys()));
    }
    return this.#nearest.get(name);
  }

  get nodeId(): string {
    return this.options.serviceNode || this.bootstrap?.node?.id || '';
  }

  get nodeCluster(): string {
    return this.options.serviceCluster || this.bootstrap?.node?.cluster || '';
  }

  #addBootstrap(bootstrap: Bootstrap): void {
    this.bootstrap ??= bootstrap;
    for (const cluster of bootstrap.static_resources?.clusters ?? []) this.#addCluster(cluster);
    for (const secret of bootstrap.static_resources?.secrets ?? []) this.#addSecret(secret);
  }

  #addSecret(secret: Secret): void {
    for (const kind of secretKinds) if (secret[kind] !== undefined) this.secrets[kind].add(secret.name);
  }

  #addCluster(cluster: Cluster): void {
    if (!this.clusters.has(cluster.name)) this.clusters.set(cluster.name, cluster);
    const eds = cluster.eds_cluster_config;
    if (cluster.type === 'EDS' || eds !== undefined) this.edsServices.add(eds?.service_name || cluster.name);
  }
}
