// What `/config_dump` shows of the bootstrap and of the secrets in it. Listeners, clusters and routes have sections of their own.
import type { ConfigDumpSection } from '#admin/owners.ts';
import type { Bootstrap } from '#schema/messages/envoy/config/bootstrap/v3.ts';
import type { Secret } from '#schema/messages/envoy/extensions/transport_sockets/tls/v3.ts';

const prefix = 'type.googleapis.com/';

/** `acceptedMs`: the wall clock when the bootstrap was accepted. */
export function staticSections(
  bootstrap: Bootstrap,
  acceptedMs: number,
  dynamicSecrets: () => readonly DynamicSecret[],
): ConfigDumpSection[] {
  const last_updated = timestamp(acceptedMs);
  const secrets = bootstrap.static_resources?.secrets ?? [];
  return [
    {
      order: 0,
      type: 'envoy.admin.v3.BootstrapConfigDump',
      dump: () => ({ bootstrap, last_updated }),
    },
    {
      order: 70,
      type: 'envoy.admin.v3.SecretsConfigDump',
      dump: (matches) => ({
        ...dumpDynamic(dynamicSecrets().filter(({ name }) => matches(name))),
        static_secrets: secrets
          .filter(({ name }) => matches(name))
          .map((secret) => ({
            name: secret.name,
            secret: { '@type': secretType, ...secret },
          })),
      }),
    },
  ];
}

const secretType = `${prefix}envoy.extensions.transport_sockets.tls.v3.Secret`;

/** A secret that is discovered. */
export interface DynamicSecret {
  readonly name: string;
  readonly version: string;
  readonly updatedMs: number;
  /** Undefined: it has not come. */
  readonly message: Secret | undefined;
}

function dumpDynamic(secrets: readonly DynamicSecret[]) {
  const dumped = (those: readonly DynamicSecret[]) =>
    those.map(({ name, version, updatedMs, message }) => ({
      name,
      version_info: version,
      last_updated: timestamp(updatedMs),
      secret: { '@type': secretType, ...(message ?? { name }) },
    }));
  const active = secrets.filter((it) => it.message !== undefined);
  const warming = secrets.filter((it) => it.message === undefined);
  return {
    ...(active.length > 0 && { dynamic_active_secrets: dumped(active) }),
    ...(warming.length > 0 && { dynamic_warming_secrets: dumped(warming) }),
  };
}

export function timestamp(ms: number): { readonly seconds: number; readonly nanos: number } {
  return { seconds: Math.floor(ms / 1000), nanos: (ms % 1000) * 1_000_000 };
}

/** Calls `visit` with every packed message below `value`. */
export function visitPacked(value: unknown, visit: (type: string, value: object) => void): void {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return;
  const type = (value as { readonly '@type'?: unknown })['@type'];
  if (typeof type === 'string') visit(type, value);
  for (const it of Array.isArray(value) ? value : Object.values(value)) visitPacked(it, visit);
}
