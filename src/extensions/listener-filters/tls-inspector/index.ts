import {
  type AcceptedSocket,
  defineListenerFilter,
  type ListenerFilter,
  ListenerFilterStatus,
} from '#extension/listener-filter.ts';
import { HelloStatus, inspectClientHello } from '#net/client-hello.ts';
import { inspectionFailureText } from '#net/tls-error.ts';
import type { TlsInspector } from '#schema/messages/envoy/extensions/filters/listener/tls_inspector/v3.ts';
import type { Counter, Histogram } from '#stats/metric.ts';
import type { Scope } from '#stats/store.ts';

interface TlsInspectorConfig {
  readonly maxHelloBytes: number;
  readonly ja3: boolean;
  readonly ja4: boolean;
  readonly closesOnParseError: boolean;
}

class TlsInspectorStats {
  readonly clientHelloTooLarge: Counter;
  readonly tlsFound: Counter;
  readonly tlsNotFound: Counter;
  readonly alpnFound: Counter;
  readonly alpnNotFound: Counter;
  readonly sniFound: Counter;
  readonly sniNotFound: Counter;
  readonly bytesProcessed: Histogram;

  constructor(scope: Scope) {
    this.clientHelloTooLarge = scope.counter('client_hello_too_large');
    this.tlsFound = scope.counter('tls_found');
    this.tlsNotFound = scope.counter('tls_not_found');
    this.alpnFound = scope.counter('alpn_found');
    this.alpnNotFound = scope.counter('alpn_not_found');
    this.sniFound = scope.counter('sni_found');
    this.sniNotFound = scope.counter('sni_not_found');
    this.bytesProcessed = scope.histogram('bytes_processed', 'bytes');
  }
}

/** Tells TLS from plaintext, and the server name and protocols that the client asks for. Consumes nothing. */
export const tlsInspector = defineListenerFilter({
  kind: 'listener_filter',
  name: 'envoy.filters.listener.tls_inspector',
  type: 'envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector',
  parse: (message: TlsInspector): TlsInspectorConfig => ({
    maxHelloBytes: message.max_client_hello_size ?? 16_384,
    ja3: message.enable_ja3_fingerprinting ?? false,
    ja4: message.enable_ja4_fingerprinting ?? false,
    closesOnParseError: message.close_connection_on_client_hello_parsing_errors,
  }),
  prepare: (config, { stats }) =>
    new TlsInspectorFilter(config, stats.scope('tls_inspector').stats(TlsInspectorStats)),
});

class TlsInspectorFilter implements ListenerFilter {
  readonly needsBytes = true;
  readonly #config: TlsInspectorConfig;
  readonly #stats: TlsInspectorStats;

  constructor(config: TlsInspectorConfig, stats: TlsInspectorStats) {
    this.#config = config;
    this.#stats = stats;
  }

  inspect(socket: AcceptedSocket, received: Buffer, end: boolean): ListenerFilterStatus {
    const stats = this.#stats;
    const { info } = socket;
    const { maxHelloBytes, closesOnParseError } = this.#config;
    const bytes = received.length > maxHelloBytes ? received.subarray(0, maxHelloBytes) : received;
    const isFull = bytes.length === maxHelloBytes;
    const result = inspectClientHello(bytes);
    switch (result.status) {
      case HelloStatus.NeedMore:
        if (!isFull) return end ? ListenerFilterStatus.Close : ListenerFilterStatus.NeedMore;
        stats.bytesProcessed.record(maxHelloBytes);
        return this.#tooLarge(socket);
      case HelloStatus.Goodbye:
        stats.bytesProcessed.record(result.bytes);
        return ListenerFilterStatus.Close;
      case HelloStatus.NotTls:
        stats.bytesProcessed.record(result.bytes);
        // Plaintext and a hello that is wrong cannot be told apart, says Envoy.
        if (closesOnParseError && isFull) return this.#tooLarge(socket);
        stats.tlsNotFound.value++;
        info.transportFailureReason = inspectionFailureText(bytes);
        socket.setMetadata(tlsInspector.name, { failure_reason: 'ClientHelloNotDetected' });
        return closesOnParseError ? ListenerFilterStatus.Close : ListenerFilterStatus.Continue;
      case HelloStatus.Done: {
        const hello = result.hello!;
        stats.tlsFound.value++;
        stats.bytesProcessed.record(result.bytes);
        info.transportProtocol = 'tls';
        info.requestedServerName = hello.serverName;
        if (hello.serverName === '') stats.sniNotFound.value++;
        else stats.sniFound.value++;
        socket.offeredProtocols = hello.alpn;
        if (hello.alpn.length === 0) stats.alpnNotFound.value++;
        else stats.alpnFound.value++;
        if (this.#config.ja3) info.ja3 = hello.ja3;
        if (this.#config.ja4) info.ja4 = hello.ja4;
        return ListenerFilterStatus.Continue;
      }
    }
  }

  #tooLarge(socket: AcceptedSocket): ListenerFilterStatus {
    this.#stats.clientHelloTooLarge.value++;
    socket.setMetadata(tlsInspector.name, { failure_reason: 'ClientHelloTooLarge' });
    return ListenerFilterStatus.Close;
  }
}
