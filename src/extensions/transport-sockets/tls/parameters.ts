// `TlsParameters`: BoringSSL's names and defaults -> what OpenSSL is given.
import type { SecureVersion } from 'node:tls';
import { cipherGroups } from '#config/cipher-list.ts';
import type { ParseContext } from '#config/parse-context.ts';
import { onlyFields } from '#extension/message-fields.ts';
import type { TlsParameters } from '#schema/messages/envoy/extensions/transport_sockets/tls/v3.ts';

export interface TlsParametersData {
  readonly minVersion: SecureVersion;
  readonly maxVersion: SecureVersion;
  /** Suites before TLS 1.3 in OpenSSL's names, in order of preference; those of one entry are equal. */
  readonly suites: readonly (readonly string[])[];
  readonly groups: readonly string[];
  /** Of TLS 1.3. */
  readonly tls13Suites: readonly string[];
  readonly signatureAlgorithms: readonly string[];
}

const versions: Readonly<Record<string, SecureVersion>> = {
  TLSv1_0: 'TLSv1',
  TLSv1_1: 'TLSv1.1',
  TLSv1_2: 'TLSv1.2',
  TLSv1_3: 'TLSv1.3',
};

/** BoringSSL has no switch for them: they are always on. */
const tls13Suites = ['TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256', 'TLS_AES_128_GCM_SHA256'];

/** What BoringSSL takes of peers. */
const defaultSignatures = [
  'ecdsa_secp256r1_sha256',
  'rsa_pss_rsae_sha256',
  'rsa_pkcs1_sha256',
  'ecdsa_secp384r1_sha384',
  'rsa_pss_rsae_sha384',
  'rsa_pkcs1_sha384',
  'rsa_pss_rsae_sha512',
  'rsa_pkcs1_sha512',
  'rsa_pkcs1_sha1',
];

/** The policy FIPS_202205, which stands above all other parameters. */
const fips = {
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.3',
  suites: [
    ['ECDHE-ECDSA-AES128-GCM-SHA256'],
    ['ECDHE-RSA-AES128-GCM-SHA256'],
    ['ECDHE-ECDSA-AES256-GCM-SHA384'],
    ['ECDHE-RSA-AES256-GCM-SHA384'],
  ],
  tls13Suites: ['TLS_AES_256_GCM_SHA384', 'TLS_AES_128_GCM_SHA256'],
  groups: ['P-256', 'P-384'],
  signatureAlgorithms: [
    'rsa_pkcs1_sha256',
    'rsa_pkcs1_sha384',
    'rsa_pkcs1_sha512',
    'ecdsa_secp256r1_sha256',
    'ecdsa_secp384r1_sha384',
    'rsa_pss_rsae_sha256',
    'rsa_pss_rsae_sha384',
    'rsa_pss_rsae_sha512',
  ],
} satisfies TlsParametersData;

const defaultCiphers = [
  '[ECDHE-ECDSA-AES128-GCM-SHA256|ECDHE-ECDSA-CHACHA20-POLY1305]',
  '[ECDHE-RSA-AES128-GCM-SHA256|ECDHE-RSA-CHACHA20-POLY1305]',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
];

/** Envoy lets clients go no further than TLS 1.2 unless told. */
export function parseParameters(
  message: TlsParameters | undefined,
  at: ParseContext,
  isServer: boolean,
): TlsParametersData {
  if (message !== undefined)
    onlyFields(message, at, [
      'tls_minimum_protocol_version',
      'tls_maximum_protocol_version',
      'cipher_suites',
      'ecdh_curves',
      'signature_algorithms',
      'compliance_policies',
    ]);
  if (message?.compliance_policies.includes('FIPS_202205')) return fips;
  const minVersion = versions[message?.tls_minimum_protocol_version ?? ''] ?? 'TLSv1.2';
  const maxVersion =
    versions[message?.tls_maximum_protocol_version ?? ''] ?? (isServer ? 'TLSv1.3' : 'TLSv1.2');
  const list =
    message === undefined || message.cipher_suites.length === 0 ? defaultCiphers : message.cipher_suites;
  const named = cipherGroups(list.join(':')) ?? [];
  const suites = named.map((it) => it.filter(isOffered)).filter((it) => it.length > 0);
  if (named.length > 0 && suites.length === 0)
    at.field('cipher_suites').unsupported('PSK and 3DES are not supported by chancery');
  return {
    minVersion,
    maxVersion,
    suites,
    groups:
      message === undefined || message.ecdh_curves.length === 0
        ? ['X25519MLKEM768', 'X25519', 'P-256']
        : message.ecdh_curves.flatMap((it) => it.split(':')),
    tls13Suites,
    signatureAlgorithms:
      message === undefined || message.signature_algorithms.length === 0
        ? defaultSignatures
        : message.signature_algorithms,
  };
}

/**
 * OpenSSL's list, with `first` in front of the others: it knows nothing of suites of equal preference. BoringSSL has no levels of security:
 * what the lists of suites, groups and signatures allow is taken.
 */
export function cipherList({ tls13Suites, suites }: TlsParametersData, first: string): string {
  const others = suites.flat().filter((it) => it !== first);
  const all = [...tls13Suites, ...(first === '' ? others : [first, ...others])];
  return `${all.join(':')}:@SECLEVEL=0`;
}

/** Those of the list that OpenSSL has, and we keys for. */
function isOffered(suite: string): boolean {
  return !/PSK|DES/.test(suite);
}
