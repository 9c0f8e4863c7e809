// The configuration of a TLS context together with the secrets it names, as they are now.
import { createHash } from 'node:crypto';
import { mergeValidation } from '#extension/secrets/merge-validation.ts';
import type { CertificateData, SecretStore, ValidationData } from '#extension/secrets/secret-data.ts';
import type { TlsConfig } from './config.ts';

/** Undefined: a secret has not come. */
export function certificatesNow(
  config: TlsConfig,
  secrets: SecretStore,
): readonly CertificateData[] | undefined {
  const certificates = [...config.certificates];
  for (const key of config.certificateSecrets) {
    const secret = secrets.get(key);
    if (secret?.kind !== 'certificate') return undefined;
    certificates.push(secret.value);
  }
  return certificates;
}

/** Undefined: peers are not looked at. Null: a secret has not come. */
export function validationNow(config: TlsConfig, secrets: SecretStore): ValidationData | undefined | null {
  if (config.validationSecret === '') return config.validation;
  const secret = secrets.get(config.validationSecret);
  if (secret?.kind !== 'validation') return null;
  return config.validation === undefined ? secret.value : mergeValidation(config.validation, secret.value);
}

/** A session is only resumed where the same peers are trusted (at most 32 characters, says OpenSSL). */
export function validationDigest(data: ValidationData | undefined): string {
  const text = JSON.stringify(data ?? null);
  return createHash('sha256').update(text).digest('hex').slice(0, 32);
}
