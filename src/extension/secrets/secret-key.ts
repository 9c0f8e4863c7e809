// Where a secret comes from, as a key that the main thread and the workers agree on.
import { createHash } from 'node:crypto';
import type { SdsSecretConfig } from '#schema/messages/envoy/extensions/transport_sockets/tls/v3.ts';

/** The name, for a static secret; with a digest of its source otherwise. */
export function secretKey({ name, sds_config }: SdsSecretConfig): string {
  if (sds_config === undefined) return name;
  const digest = createHash('sha256').update(JSON.stringify(sds_config)).digest('hex').slice(0, 16);
  return `${name}@${digest}`;
}

/** Whether the secret comes from a source that may change it. */
export function isDiscovered(key: string): boolean {
  return /@[0-9a-f]{16}$/.test(key);
}
