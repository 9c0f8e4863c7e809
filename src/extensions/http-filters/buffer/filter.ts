// Holds a request until all of it has come, so that the upstream gets it in one piece and with its length.
import { FilterStatus, type HttpFilter, type HttpStream } from '#extension/http-filter.ts';
import type { HeaderMap } from '#http/header-map.ts';
import type { BufferConfig } from './config.ts';

export class BufferFilter implements HttpFilter {
  readonly #config: BufferConfig;
  readonly #name: string;
  #headers: HeaderMap | undefined = undefined;
  #bytes = 0;
  #maxBytes = 0;

  constructor(config: BufferConfig, name: string) {
    this.#config = config;
    this.#name = name;
  }

  decodeHeaders(stream: HttpStream, headers: HeaderMap, endStream: boolean): FilterStatus {
    if (endStream) return FilterStatus.Continue;
    const here = (stream.routeConfig(this.#name) as BufferConfig | undefined) ?? this.#config;
    if (here.maxRequestBytes === undefined) return FilterStatus.Continue;
    stream.decoderBufferLimit = here.maxRequestBytes;
    this.#maxBytes = here.maxRequestBytes;
    this.#headers = headers;
    return FilterStatus.StopIteration;
  }

  decodeData(_stream: HttpStream, data: Buffer, endStream: boolean): FilterStatus {
    if (this.#headers === undefined) return FilterStatus.Continue;
    const isWhole = endStream && this.#bytes === 0;
    this.#bytes += data.length;
    // What comes in one piece, as over HTTP/2, need not be held: as in Envoy it passes, however much it is. Else one byte too
    // many is refused by whoever holds it, also when it comes with the end.
    if (!isWhole && (!endStream || this.#bytes > this.#maxBytes)) return FilterStatus.StopIteration;
    this.#addLength(this.#headers);
    return FilterStatus.Continue;
  }

  decodeTrailers(): FilterStatus {
    if (this.#headers !== undefined) this.#addLength(this.#headers);
    return FilterStatus.Continue;
  }

  #addLength(headers: HeaderMap): void {
    if (!headers.has('content-length')) headers.add('content-length', String(this.#bytes));
  }
}
