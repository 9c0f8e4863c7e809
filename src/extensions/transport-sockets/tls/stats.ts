// `ssl.*` of a listener or a cluster, and those of its socket factory.
import { X509Certificate } from 'node:crypto';
import type { CertificateData, ValidationData } from '#extension/secrets/secret-data.ts';
import type { Counter } from '#stats/metric.ts';
import type { Scope } from '#stats/store.ts';
import { leafOf } from './secure-context.ts';

export class SslStats {
  readonly connectionError: Counter;
  readonly failVerifyCertHash: Counter;
  readonly failVerifyError: Counter;
  readonly failVerifyNoCert: Counter;
  readonly failVerifySan: Counter;
  readonly handshake: Counter;
  readonly noCertificate: Counter;
  readonly ocspStapleFailed: Counter;
  readonly ocspStapleOmitted: Counter;
  readonly ocspStapleRequests: Counter;
  readonly ocspStapleResponses: Counter;
  readonly sessionReused: Counter;
  readonly #scope: Scope;
  readonly #byName = new Map<string, Counter>();

  constructor(scope: Scope) {
    this.#scope = scope;
    this.connectionError = scope.counter('connection_error');
    this.failVerifyCertHash = scope.counter('fail_verify_cert_hash');
    this.failVerifyError = scope.counter('fail_verify_error');
    this.failVerifyNoCert = scope.counter('fail_verify_no_cert');
    this.failVerifySan = scope.counter('fail_verify_san');
    this.handshake = scope.counter('handshake');
    this.noCertificate = scope.counter('no_certificate');
    this.ocspStapleFailed = scope.counter('ocsp_staple_failed');
    this.ocspStapleOmitted = scope.counter('ocsp_staple_omitted');
    this.ocspStapleRequests = scope.counter('ocsp_staple_requests');
    this.ocspStapleResponses = scope.counter('ocsp_staple_responses');
    this.sessionReused = scope.counter('session_reused');
  }

  /** `versions.TLSv1.3`, `ciphers.TLS_AES_128_GCM_SHA256`: listed once it has happened. */
  count(group: string, name: string): void {
    const full = `${group}.${name}`;
    let counter = this.#byName.get(full);
    if (counter === undefined) {
      counter = this.#scope.counter(full);
      this.#byName.set(full, counter);
    }
    counter.value++;
  }
}

/** `server_ssl_socket_factory.` of a listener, `client_ssl_socket_factory.` of a cluster. */
export class SocketFactoryStats {
  readonly contextUpdates: Counter;
  readonly downstreamNotReady: Counter;
  readonly upstreamNotReady: Counter;

  constructor(scope: Scope) {
    this.contextUpdates = scope.counter('ssl_context_update_by_sds');
    this.downstreamNotReady = scope.counter('downstream_context_secrets_not_ready');
    this.upstreamNotReady = scope.counter('upstream_context_secrets_not_ready');
  }
}

/** `ssl.certificate.<name of the secret>.expiration_unix_time_seconds`. Without a name, Envoy puts a digest of it, of nothing, there. */
export function listExpirations(
  scope: Scope,
  certificates: readonly CertificateData[],
  validation: ValidationData | undefined,
): void {
  for (const it of certificates) listExpiration(scope, it.name || 'unnamed_cert_e3b0c442', leafOf(it));
  validation?.spiffe?.forEach(({ bundle }, i) => {
    listExpiration(scope, `${validation.name || 'unnamed_ca_cert'}_${i}`, new X509Certificate(bundle));
  });
  if (validation === undefined || validation.spiffe !== undefined) return;
  if (validation.trustedCa !== '') {
    const ca = new X509Certificate(validation.trustedCa);
    listExpiration(scope, validation.name || 'unnamed_ca_cert_e3b0c442', ca);
  } else setExpiration(scope, validation.name || 'unnamed_ca_cert', never);
}

function listExpiration(scope: Scope, name: string, x509: X509Certificate): void {
  setExpiration(scope, name, Math.floor(x509.validToDate.getTime() / 1000));
}

/** As Envoy counts what does not expire. */
const never = 2 ** 63 - 1;

function setExpiration(scope: Scope, name: string, seconds: number): void {
  scope.scope(`certificate.${name}`).gauge('expiration_unix_time_seconds', 'never_import').value = seconds;
}
