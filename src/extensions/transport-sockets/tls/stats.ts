// `ssl.*` of a listener or a cluster, and those of its socket factory.
import type { Counter } from '#stats/metric.ts';
import type { Scope } from '#stats/store.ts';

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
