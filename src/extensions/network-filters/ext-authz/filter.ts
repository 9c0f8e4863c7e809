// Asks a service whether a connection may go on, when its first bytes come. Until then the bytes wait.
import { addDynamicMetadata } from '#extension/dynamic-metadata.ts';
import { AccessLogType, type FormatContext } from '#extension/formatter.ts';
import type { MethodCallbacks, MethodClient } from '#extension/grpc-service.ts';
import type { MetadataMatcher } from '#extension/matchers/value-matcher.ts';
import {
  type DownstreamConnection,
  type NetworkFilter,
  NetworkFilterStatus,
} from '#extension/network-filter.ts';
import { ResponseFlag } from '#extension/response-flag.ts';
import type { StreamInfo } from '#extension/stream-info.ts';
import type { GrpcStream } from '#grpc/client.ts';
import { CloseType } from '#net/connection.ts';
import type { CheckResponse } from '#schema/messages/envoy/service/auth/v3.ts';
import type { Counter, Gauge } from '#stats/metric.ts';
import type { Scope } from '#stats/store.ts';
import { destinationPeer, metadataContext, sourcePeer, tlsSession } from '../../ext-authz/check-request.ts';
import { refusalStatus } from '../../ext-authz/refusal-status.ts';
import type { NetworkExtAuthzConfig } from './config.ts';

export class NetworkExtAuthzStats {
  readonly active: Gauge;
  readonly cxClosed: Counter;
  readonly denied: Counter;
  readonly disabled: Counter;
  readonly error: Counter;
  readonly failureModeAllowed: Counter;
  readonly ok: Counter;
  readonly total: Counter;

  constructor(scope: Scope) {
    this.active = scope.gauge('active');
    this.cxClosed = scope.counter('cx_closed');
    this.denied = scope.counter('denied');
    this.disabled = scope.counter('disabled');
    this.error = scope.counter('error');
    this.failureModeAllowed = scope.counter('failure_mode_allowed');
    this.ok = scope.counter('ok');
    this.total = scope.counter('total');
  }
}

export interface NetworkExtAuthzShared {
  readonly config: NetworkExtAuthzConfig;
  readonly stats: NetworkExtAuthzStats;
  readonly client: MethodClient<'envoy.service.auth.v3.CheckRequest', 'envoy.service.auth.v3.CheckResponse'>;
  readonly enabled: MetadataMatcher | undefined;
  readonly labels: Readonly<Record<string, string>>;
}

const State = { New: 0, Calling: 1, Allowed: 2, Denied: 3 } as const;

export class NetworkExtAuthzFilter implements NetworkFilter, MethodCallbacks<CheckResponse>, FormatContext {
  readonly requestHeaders = undefined;
  readonly responseHeaders = undefined;
  readonly responseTrailers = undefined;
  readonly logType: AccessLogType = AccessLogType.NotSet;
  readonly #shared: NetworkExtAuthzShared;
  readonly #connection: DownstreamConnection;
  #state: number = State.New;
  #call: GrpcStream | undefined = undefined;
  #startMs = 0;
  /** The answer came from inside the call. */
  #isStarting = false;

  constructor(shared: NetworkExtAuthzShared, connection: DownstreamConnection) {
    this.#shared = shared;
    this.#connection = connection;
  }

  get info(): StreamInfo {
    return this.#connection.streamInfo;
  }

  onData(): NetworkFilterStatus {
    const { enabled, stats } = this.#shared;
    if (enabled !== undefined && !enabled.matches(this.info.dynamicMetadata)) {
      stats.disabled.value++;
      return NetworkFilterStatus.Continue;
    }
    if (this.#state === State.New) this.#check();
    return this.#state === State.Allowed ? NetworkFilterStatus.Continue : NetworkFilterStatus.StopIteration;
  }

  onClose(): void {
    if (this.#state !== State.Calling) return;
    this.#state = State.Denied;
    this.#call?.cancel();
    this.#shared.stats.active.value--;
  }

  #check(): void {
    const { client, config, labels, stats } = this.#shared;
    const connection = this.#connection.info;
    this.#state = State.Calling;
    this.#startMs = performance.now();
    stats.active.value++;
    stats.total.value++;
    this.#isStarting = true;
    this.#call = client.call(
      {
        attributes: {
          source: sourcePeer(connection, '', config.includePeerCertificate),
          destination: destinationPeer(connection, connection.requestedServerName, labels),
          tls_session: config.includeTlsSession ? tlsSession(connection) : undefined,
          metadata_context: metadataContext(config.metadataNamespaces, this.info.dynamicMetadata),
        },
      },
      this,
      this,
    );
    this.#isStarting = false;
  }

  onResponse(response: CheckResponse): void {
    const isAllowed = (response.status?.code ?? 0) === 0;
    const { stats } = this.#shared;
    const metadata = response.ok_response?.dynamic_metadata ?? response.dynamic_metadata;
    stats.active.value--;
    if (isAllowed) {
      stats.ok.value++;
      const ms = Math.floor(performance.now() - this.#startMs);
      addDynamicMetadata(this.info, name, { ...metadata, ext_authz_duration: ms });
      this.#remember('OK', 0);
      this.#allow();
      return;
    }
    if (metadata !== undefined) addDynamicMetadata(this.info, name, metadata);
    if (response.error_response !== undefined) this.#onError(refusalStatus(response));
    else {
      stats.denied.value++;
      if (this.#shared.config.isShadow) {
        this.#remember('DENIED', refusalStatus(response));
        this.#allow();
      } else this.#close('ext_authz_denied');
    }
  }

  onFailure(): void {
    this.#shared.stats.active.value--;
    this.#onError(0);
  }

  #onError(status: number): void {
    const { config, stats } = this.#shared;
    stats.error.value++;
    if (config.isShadow) {
      this.#remember('ERROR', status);
      this.#allow();
    } else if (config.failureModeAllow) {
      stats.failureModeAllowed.value++;
      this.#allow();
    } else this.#close('ext_authz_error');
  }

  /** What would have been done. */
  #remember(result: 'OK' | 'DENIED' | 'ERROR', status: number): void {
    if (!this.#shared.config.isShadow) return;
    const fields: Readonly<Record<string, string | number>> = {
      check_result: result,
      ...(status === 0 ? {} : { status_code: status }),
    };
    this.#connection.filterState.set(name, {
      text: JSON.stringify(fields),
      field: (it) => fields[it],
      typed: { checkResult: result, ...(status === 0 ? {} : { statusCode: status }) },
    });
  }

  #allow(): void {
    this.#state = State.Allowed;
    if (!this.#isStarting) this.#connection.continueReading(this);
  }

  #close(details: string): void {
    const { info } = this;
    this.#state = State.Denied;
    this.#shared.stats.cxClosed.value++;
    info.flags |= 1 << ResponseFlag.UnauthorizedExternalService;
    info.details = details;
    this.#connection.close(CloseType.NoFlush, 'ext_authz_close');
  }
}

const name = 'envoy.filters.network.ext_authz';
