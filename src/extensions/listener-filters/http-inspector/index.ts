import {
  type AcceptedSocket,
  defineListenerFilter,
  type ListenerFilter,
  ListenerFilterStatus,
} from '#extension/listener-filter.ts';
import { RequestLine, readRequestLine } from '#http/request-line.ts';
import type { Counter } from '#stats/metric.ts';
import type { Scope } from '#stats/store.ts';

class HttpInspectorStats {
  readonly http10Found: Counter;
  readonly http11Found: Counter;
  readonly http2Found: Counter;
  readonly httpNotFound: Counter;
  readonly readError: Counter;

  constructor(scope: Scope) {
    this.http10Found = scope.counter('http10_found');
    this.http11Found = scope.counter('http11_found');
    this.http2Found = scope.counter('http2_found');
    this.httpNotFound = scope.counter('http_not_found');
    this.readError = scope.counter('read_error');
  }
}

/** Tells HTTP/1.0, HTTP/1.1 and HTTP/2 from each other and from the rest. Consumes nothing. */
export const httpInspector = defineListenerFilter({
  kind: 'listener_filter',
  name: 'envoy.filters.listener.http_inspector',
  type: 'envoy.extensions.filters.listener.http_inspector.v3.HttpInspector',
  parse: () => ({}),
  prepare: (_config, { stats }) =>
    new HttpInspectorFilter(stats.scope('http_inspector').stats(HttpInspectorStats)),
});

const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
/** A request line that does not end within it cannot be told. */
const maxLineBytes = 65_536;

class HttpInspectorFilter implements ListenerFilter {
  readonly needsBytes = true;
  readonly #stats: HttpInspectorStats;

  constructor(stats: HttpInspectorStats) {
    this.#stats = stats;
  }

  inspect(socket: AcceptedSocket, bytes: Buffer, end: boolean): ListenerFilterStatus {
    const stats = this.#stats;
    const { transportProtocol } = socket.info;
    if (transportProtocol !== '' && transportProtocol !== 'raw_buffer') return ListenerFilterStatus.Continue;
    const length = Math.min(bytes.length, preface.length);
    if (bytes.compare(preface, 0, length, 0, length) === 0) {
      if (length < preface.length) return end ? ListenerFilterStatus.Close : ListenerFilterStatus.NeedMore;
      stats.http2Found.value++;
      socket.offeredProtocols = ['h2c'];
      return ListenerFilterStatus.Continue;
    }
    switch (readRequestLine(bytes.length > maxLineBytes ? bytes.subarray(0, maxLineBytes) : bytes)) {
      case RequestLine.Incomplete:
        if (bytes.length < maxLineBytes)
          return end ? ListenerFilterStatus.Close : ListenerFilterStatus.NeedMore;
        stats.readError.value++;
        return ListenerFilterStatus.Close;
      case RequestLine.Invalid:
        stats.httpNotFound.value++;
        return ListenerFilterStatus.Continue;
      case RequestLine.Http10:
        stats.http10Found.value++;
        socket.offeredProtocols = ['http/1.0'];
        return ListenerFilterStatus.Continue;
      case RequestLine.Http11:
        stats.http11Found.value++;
        socket.offeredProtocols = ['http/1.1'];
        return ListenerFilterStatus.Continue;
    }
  }
}
