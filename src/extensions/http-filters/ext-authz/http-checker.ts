// Asks a service over plain HTTP: the request's head goes there, and the status of the answer is the verdict.
import { latin1OfUtf8, utf8OfLatin1 } from '#base/utf8.ts';
import type { FormatContext } from '#extension/formatter.ts';
import { compileLevel } from '#extension/header-mutation-config.ts';
import { AppendAction, type HeaderMutations } from '#extension/header-mutations.ts';
import { compileStringMatcher } from '#extension/matchers/compile.ts';
import type { StringMatcher } from '#extension/matchers/string-matcher.ts';
import type { WorkerServices } from '#extension/worker-services.ts';
import type { AsyncCallbacks, AsyncClient, AsyncStream } from '#http/async-client.ts';
import { HeaderMap } from '#http/header-map.ts';
import type {
  AttributeContext_HttpRequestInit,
  CheckRequestInit,
} from '#schema/messages/envoy/service/auth/v3.ts';
import type { HttpServiceData } from './config.ts';
import {
  type Checker,
  type HeaderChange,
  headerChange,
  Outcome,
  type PendingCheck,
  type Verdict,
  verdictOf,
} from './verdict.ts';

/** Envoy's `http.async_response_buffer_limit`. */
const maxBodyBytes = 32 * 1024 * 1024;

const toRemove = 'x-envoy-auth-headers-to-remove';

export class HttpChecker implements Checker {
  readonly #data: HttpServiceData;
  readonly #client: AsyncClient;
  readonly #headersToAdd: HeaderMutations | null;
  readonly #answer: AnswerReader;

  constructor(data: HttpServiceData, services: WorkerServices) {
    this.#data = data;
    this.#client = services.asyncClient;
    this.#headersToAdd = compileLevel(data.headersToAdd);
    this.#answer = new AnswerReader(data);
  }

  check(
    request: CheckRequestInit,
    context: FormatContext,
    onVerdict: (verdict: Verdict) => void,
  ): PendingCheck {
    const http = request.attributes!.request!.http!;
    const body = (http.raw_body ?? noBytes) as Buffer;
    const headers = this.#headers(http, body.length);
    this.#headersToAdd?.apply(headers, context);
    const exchange = new Exchange(this.#answer, onVerdict);
    const { cluster, options } = this.#data;
    const stream = this.#client.start(cluster, options, exchange);
    if (stream === undefined) onVerdict(failed);
    else exchange.send(stream, headers, body);
    return exchange;
  }

  #headers(http: AttributeContext_HttpRequestInit, bodyBytes: number): HeaderMap {
    const headers = new HeaderMap();
    headers.scheme = 'http';
    // Filters in front may have written anything.
    headers.isUnchecked = true;
    headers.add('content-length', String(bodyBytes));
    for (const [name, value] of headersOf(http)) {
      if (name === ':method') headers.method = value;
      else if (name === ':authority') headers.authority = value;
      else if (name === ':path') headers.path = this.#path(value);
      else if (name !== 'content-length' && !name.startsWith(':')) headers.add(name, value);
    }
    return headers;
  }

  #path(path: string): string {
    const { pathOverride, pathPrefix } = this.#data;
    return pathOverride === '' ? pathPrefix + path : pathOverride;
  }
}

/** One request and its answer. */
class Exchange implements AsyncCallbacks, PendingCheck {
  readonly #reader: AnswerReader;
  readonly #onVerdict: (verdict: Verdict) => void;
  #stream: AsyncStream | undefined = undefined;
  #headers: HeaderMap | undefined = undefined;
  readonly #body: Buffer[] = [];
  #bodyBytes = 0;
  #isOver = false;

  constructor(reader: AnswerReader, onVerdict: (verdict: Verdict) => void) {
    this.#reader = reader;
    this.#onVerdict = onVerdict;
  }

  send(stream: AsyncStream, headers: HeaderMap, body: Buffer): void {
    this.#stream = stream;
    stream.sendHeaders(headers, body.length === 0);
    if (body.length > 0) stream.sendData(body, true);
  }

  cancel(): void {
    this.#isOver = true;
    this.#stream?.reset();
  }

  onHeaders(headers: HeaderMap, endStream: boolean): void {
    this.#headers = headers;
    if (endStream) this.#complete();
  }

  onData(data: Buffer, endStream: boolean): void {
    this.#body.push(data);
    this.#bodyBytes += data.length;
    if (this.#bodyBytes > maxBodyBytes) {
      this.#stream?.reset();
      this.onReset();
    } else if (endStream) this.#complete();
  }

  onTrailers(): void {
    this.#complete();
  }

  onReset(): void {
    this.#end(failed);
  }

  #complete(): void {
    this.#end(this.#reader.verdict(this.#headers!, Buffer.concat(this.#body).toString('latin1')));
  }

  #end(verdict: Verdict): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#onVerdict(verdict);
  }
}

/** What is taken from an answer. */
class AnswerReader {
  readonly #upstream: readonly StringMatcher[];
  readonly #upstreamToAppend: readonly StringMatcher[];
  readonly #client: readonly StringMatcher[];
  readonly #clientOnSuccess: readonly StringMatcher[];
  readonly #metadata: readonly StringMatcher[];

  constructor(data: HttpServiceData) {
    this.#upstream = data.upstreamHeaders.map(compileStringMatcher);
    this.#upstreamToAppend = data.upstreamHeadersToAppend.map(compileStringMatcher);
    this.#client = data.clientHeaders.map(compileStringMatcher);
    this.#clientOnSuccess = data.clientHeadersOnSuccess.map(compileStringMatcher);
    this.#metadata = data.metadataHeaders.map(compileStringMatcher);
  }

  verdict(headers: HeaderMap, body: string): Verdict {
    const { status } = headers;
    if (status >= 500) return failed;
    const remove = status === 200 ? headers.joined(toRemove) : undefined;
    headers.remove(toRemove);
    const metadata = this.#metadataOf(headers);
    if (status !== 200)
      return verdictOf({
        outcome: Outcome.Denied,
        status,
        body,
        localHeaders: this.#pick(headers, AppendAction.OverwriteIfExistsOrAdd, (name) =>
          this.#forClient(name),
        ),
        metadata,
      });
    const add = AppendAction.AppendIfExistsOrAdd;
    return verdictOf({
      outcome: Outcome.Allowed,
      requestHeaders: [
        ...this.#pick(headers, AppendAction.OverwriteIfExistsOrAdd, (name) => matches(this.#upstream, name)),
        ...this.#pick(headers, add, (name) => matches(this.#upstreamToAppend, name)),
      ],
      headersToRemove: (remove ?? '').split(',').flatMap((it) => it.trim().toLowerCase() || []),
      responseHeaders: this.#pick(headers, add, (name) => matches(this.#clientOnSuccess, name)),
      metadata,
    });
  }

  #pick(headers: HeaderMap, action: AppendAction, wants: (name: string) => boolean): HeaderChange[] {
    const found: HeaderChange[] = [];
    for (let i = 0; i < headers.list.length; i += 2) {
      const name = headers.list[i]!;
      if (wants(name)) found.push(headerChange(name, headers.list[i + 1]!, action));
    }
    return found;
  }

  /** Without a list the client of a refused request gets everything. */
  #forClient(name: string): boolean {
    if (this.#client.length === 0) return true;
    return (
      name === 'content-length' ||
      name === 'www-authenticate' ||
      name === 'location' ||
      matches(this.#client, name)
    );
  }

  #metadataOf(headers: HeaderMap): Record<string, unknown> | undefined {
    let found: Record<string, unknown> | undefined;
    if (this.#metadata.length === 0) return found;
    for (let i = 0; i < headers.list.length; i += 2) {
      const name = headers.list[i]!;
      if (matches(this.#metadata, name)) (found ??= {})[name] = utf8OfLatin1(headers.list[i + 1]!);
    }
    return found;
  }
}

/** Whichever form they have in the message. */
function headersOf(http: AttributeContext_HttpRequestInit): [string, string][] {
  if (http.header_map !== undefined)
    return (http.header_map.headers ?? []).map((it) => [
      it.key ?? '',
      Buffer.from(it.raw_value as Uint8Array).toString('latin1'),
    ]);
  return Object.entries(http.headers ?? {}).map(([name, value]) => [name, latin1OfUtf8(value)]);
}

function matches(matchers: readonly StringMatcher[], name: string): boolean {
  for (let i = 0; i < matchers.length; i++) if (matchers[i]!.matches(name)) return true;
  return false;
}

const noBytes = Buffer.alloc(0);
const failed = verdictOf({ outcome: Outcome.Error });
