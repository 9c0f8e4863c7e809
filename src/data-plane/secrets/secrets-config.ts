// The secrets that a bootstrap has, and those that it says where to find.
import type { ParseContext } from '#config/parse-context.ts';
import { parseSecret } from '#extension/secrets/parse-secret.ts';
import type { SecretData } from '#extension/secrets/secret-data.ts';
import { secretKey } from '#extension/secrets/secret-key.ts';
import type { Bootstrap } from '#schema/messages/envoy/config/bootstrap/v3.ts';
import type {
  CommonTlsContext,
  SdsSecretConfig,
} from '#schema/messages/envoy/extensions/transport_sockets/tls/v3.ts';
import type { FileSourceConfig } from '#xds/file-source.ts';
import { visitPacked } from '../observe/config-dump-sections.ts';

export interface SecretsConfig {
  readonly fixed: readonly { readonly key: string; readonly secret: SecretData }[];
  readonly files: readonly SecretFile[];
}

/** A discovery response in a file, and the secret in it that is meant. */
export interface SecretFile {
  readonly key: string;
  readonly name: string;
  readonly source: FileSourceConfig;
  /** It is used as a certificate. */
  readonly isCertificate: boolean;
}

interface TlsContext {
  readonly common_tls_context?: CommonTlsContext;
  readonly session_ticket_keys_sds_secret_config?: SdsSecretConfig;
}

export function parseSecrets(resources: Bootstrap['static_resources'], at: ParseContext): SecretsConfig {
  const fixed: { key: string; secret: SecretData }[] = [];
  resources?.secrets.forEach((message, i) => {
    const secret = parseSecret(message, at.field('secrets', i));
    if (secret !== undefined) fixed.push({ key: message.name, secret });
  });
  return { fixed, files: secretFiles(resources) };
}

/** Of what `config` says to find in files. */
export function secretFiles(config: unknown): SecretFile[] {
  const files = new Map<string, SecretFile>();
  visitPacked(config, (type, value) => {
    if (!/\.(Down|Up)streamTlsContext$/.test(type)) return;
    const context = value as TlsContext;
    const certificates = context.common_tls_context?.tls_certificate_sds_secret_configs ?? [];
    for (const reference of [...certificates, ...otherReferences(context)]) {
      const { sds_config } = reference;
      const path = sds_config?.path_config_source?.path ?? sds_config?.path;
      if (path === undefined) continue;
      const key = secretKey(reference);
      files.set(key, {
        key,
        name: reference.name,
        source: { path, watchedDirectory: sds_config?.path_config_source?.watched_directory?.path ?? '' },
        isCertificate: certificates.includes(reference) || files.get(key)?.isCertificate === true,
      });
    }
  });
  return [...files.values()];
}

function otherReferences({
  common_tls_context: common,
  session_ticket_keys_sds_secret_config: keys,
}: TlsContext): SdsSecretConfig[] {
  const all = [
    common?.validation_context_sds_secret_config,
    common?.combined_validation_context?.validation_context_sds_secret_config,
    keys,
  ];
  return all.filter((it) => it !== undefined);
}
