// `Secret` -> plain data, and references to secrets -> the key under which a worker finds them.
import type { ParseContext } from '#config/parse-context.ts';
import type { SdsSecretConfig, Secret } from '#schema/messages/envoy/extensions/transport_sockets/tls/v3.ts';
import { onlyFields } from '../message-fields.ts';
import { parseCertificate, parseTicketKeys } from './parse-certificate.ts';
import { parseValidation } from './parse-validation.ts';
import type { SecretData } from './secret-data.ts';
import { secretKey } from './secret-key.ts';

/** Undefined: a problem was reported, or it is a secret of another kind. */
export function parseSecret(message: Secret, at: ParseContext): SecretData | undefined {
  const { tls_certificate, validation_context, session_ticket_keys } = message;
  if (tls_certificate !== undefined) {
    const value = parseCertificate(tls_certificate, at.field('tls_certificate'), message.name);
    return value && { kind: 'certificate', value };
  }
  if (session_ticket_keys !== undefined) {
    const value = parseTicketKeys(session_ticket_keys, at.field('session_ticket_keys'));
    return value.length === 0 ? undefined : { kind: 'ticket_keys', value };
  }
  if (validation_context === undefined) return undefined;
  return {
    kind: 'validation',
    value: parseValidation(validation_context, at.field('validation_context'), message.name),
  };
}

/** Secrets come from `static_resources.secrets` or from files. */
export function parseSecretReference(message: SdsSecretConfig, at: ParseContext): string {
  if (message.sds_config !== undefined)
    onlyFields(message.sds_config, at.field('sds_config'), [
      'path',
      'path_config_source',
      'initial_fetch_timeout',
      'resource_api_version',
    ]);
  return secretKey(message);
}
