// What TLS needs of secrets, as plain data: read on the main thread (files, environment, decrypted keys), cloned to every worker.
import type { StringMatcherData } from '../matchers/matcher-config.ts';

export interface CertificateData {
  /** Name of the secret, empty for an inline certificate. */
  readonly name: string;
  /** PEM, the leaf first. Empty for PKCS#12. */
  readonly chain: string;
  /** PEM, decrypted. */
  readonly key: string;
  readonly pkcs12: Uint8Array | undefined;
  /** Of `pkcs12`. */
  readonly password: string;
  /** An OCSP response to staple, DER, and when it expires (ms since the epoch). */
  readonly ocspStaple: Uint8Array | undefined;
  readonly ocspExpiresMs: number;
  /** RFC 7633: clients expect a response. */
  readonly mustStaple: boolean;
}

export interface SanMatcherData {
  readonly type: 'dns' | 'uri' | 'ip' | 'email' | 'other' | 'any';
  /** Of `other`: the object identifier. */
  readonly oid: string;
  readonly matcher: StringMatcherData;
}

export interface SpiffeTrustDomain {
  readonly name: string;
  /** PEM. */
  readonly bundle: string;
}

export interface ValidationData {
  /** Name of the secret, empty for an inline context. */
  readonly name: string;
  /** PEM; empty: whatever is presented is taken, as far as the chain is concerned. */
  readonly trustedCa: string;
  readonly crl: string;
  readonly sans: readonly SanMatcherData[];
  /** SHA-256 of the certificate, lower-case hexadecimal. */
  readonly hashes: readonly string[];
  /** SHA-256 of the public key, base64. */
  readonly spkis: readonly string[];
  readonly allowExpired: boolean;
  readonly acceptUntrusted: boolean;
  /** The CAs of a chain need no CRL. */
  readonly onlyLeafCrl: boolean;
  /** Clients are not told the names of the CAs. */
  readonly hidesCaNames: boolean;
  /** -1: OpenSSL's limit of 100. */
  readonly maxDepth: number;
  /** Trust domains of the SPIFFE validator, which takes the place of all of the above but `sans`. */
  readonly spiffe: readonly SpiffeTrustDomain[] | undefined;
}

/** 48 bytes: name, HMAC key, AES key, as Node takes them. */
export type TicketKey = Uint8Array;

export type SecretData =
  | { readonly kind: 'certificate'; readonly value: CertificateData }
  | { readonly kind: 'validation'; readonly value: ValidationData }
  | { readonly kind: 'ticket_keys'; readonly value: readonly TicketKey[] };

/** The secrets of a worker, under the keys of `secretKey`. A key that nobody delivered yet is absent. */
export interface SecretStore {
  get(key: string): SecretData | undefined;
  /** Calls whenever the secret comes or changes. The returned function ends it. */
  watch(key: string, onChange: () => void): () => void;
}
