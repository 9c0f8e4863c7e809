// Envoy's attributes: what a CEL expression may ask about. Every value is made when it is asked for.
import type { CelInput } from '@bufbuild/cel';
import { celLibrary } from '#base/cel-library.ts';
import { portOfAddress } from '#base/cidr.ts';
import { utf8OfLatin1 } from '#base/utf8.ts';
import { headerField, joinedValue } from '#http/header-field.ts';
import type { HeaderMap } from '#http/header-map.ts';
import { headerBytes } from '#http/header-size.ts';
import type { FilterStateObject, StreamInfo, TlsInfo } from '../stream-info.ts';
import { responseGrpcStatus } from '../substitution/commands.ts';
import { celNode } from './cel-node.ts';
import type { CelContext } from './cel-program.ts';
import { celDuration, celMapsWithoutKeys, celMetadata, celTimestamp } from './cel-value.ts';

/** Undefined: there is no such value, which is an error of the expression. */
type Read = (context: CelContext) => unknown;
type Group = Readonly<Record<string, Read>>;

const text = (value: string | undefined) => (value === undefined ? undefined : utf8OfLatin1(value));
const some = (value: string | undefined) => (value ? utf8OfLatin1(value) : undefined);
const header =
  (name: string): Read =>
  ({ requestHeaders }) =>
    text(requestHeaders?.get(name));
/** What the codec refused has neither method nor path. */
const asked =
  (read: (headers: HeaderMap) => string): Read =>
  ({ requestHeaders }) =>
    !requestHeaders || (requestHeaders.method === '' && requestHeaders.path === '')
      ? undefined
      : text(read(requestHeaders));
const integer = (value: number) => BigInt(Math.floor(value));
const between = (fromMs: number, toMs: number) =>
  fromMs > 0 && toMs > 0 ? celDuration(toMs - fromMs) : undefined;

const request: Group = {
  headers: ({ requestHeaders }) => headersMap(requestHeaders),
  headers_bytes: ({ requestHeaders }) => integer(headerBytes(requestHeaders)),
  time: ({ info }) => celTimestamp(info.startTime),
  size({ info, requestHeaders }) {
    const length = requestHeaders?.get('content-length');
    if (length === undefined) return integer(info.bytesReceived);
    return /^\d{1,18}$/.test(length) ? BigInt(length) : undefined;
  },
  total_size: ({ info, requestHeaders }) => integer(info.bytesReceived + headerBytes(requestHeaders)),
  duration: ({ info }) => between(info.startMs, info.endMs),
  protocol: ({ info }) => info.protocol || undefined,
  path: asked((it) => it.path),
  url_path: asked((it) => it.path.replace(/\?.*$/s, '')),
  host: asked((it) => it.authority),
  scheme: asked((it) => it.scheme),
  method: asked((it) => it.method),
  referer: header('referer'),
  id: header('x-request-id'),
  useragent: header('user-agent'),
  query: asked((it) => /\?([^#]*)/s.exec(it.path)?.[1] ?? ''),
};

const response: Group = {
  code: ({ info }) => (info.responseCode === 0 ? undefined : BigInt(info.responseCode)),
  size: ({ info }) => integer(info.bytesSent),
  headers: ({ responseHeaders }) => headersMap(responseHeaders),
  headers_bytes: ({ responseHeaders }) => integer(headerBytes(responseHeaders)),
  trailers: ({ responseTrailers }) => headersMap(responseTrailers),
  flags: ({ info }) => BigInt(info.flags),
  grpc_status(context) {
    const status = responseGrpcStatus(context);
    return status === undefined ? undefined : BigInt(status);
  },
  total_size: ({ info, responseHeaders, responseTrailers }) =>
    integer(info.bytesSent + headerBytes(responseHeaders) + headerBytes(responseTrailers)),
  code_details: ({ info }) => some(info.details),
  backend_latency: ({ info }) => between(info.upstream.firstTxByteMs, info.upstream.lastRxByteMs),
};

const tls: Readonly<Record<string, (tls: TlsInfo) => string | undefined>> = {
  tls_version: (it) => it.version,
  subject_local_certificate: (it) => text(it.localCertificate()?.subject) ?? '',
  subject_peer_certificate: (it) => text(it.peerCertificate()?.subject) ?? '',
  uri_san_local_certificate: (it) => it.localCertificate()?.uriSans[0],
  uri_san_peer_certificate: (it) => it.peerCertificate()?.uriSans[0],
  dns_san_local_certificate: (it) => it.localCertificate()?.dnsSans[0],
  dns_san_peer_certificate: (it) => it.peerCertificate()?.dnsSans[0],
  sha256_peer_certificate_digest: (it) => it.peerCertificate()?.sha256,
  peer_certificate: (it) => it.peerCertificate()?.pem,
};

function tlsGroup(of: (info: StreamInfo) => TlsInfo | undefined): Group {
  return Object.fromEntries(
    Object.entries(tls).map(([name, read]) => [
      name,
      ({ info }: CelContext) => {
        const it = of(info);
        return it && read(it);
      },
    ]),
  );
}

const connection: Group = {
  ...tlsGroup((info) => info.connection.tls),
  mtls: ({ info }) => info.connection.tls?.peerPresented === true,
  requested_server_name: ({ info }) => text(info.connection.requestedServerName),
  id: ({ info }) => celLibrary().celUint(BigInt(info.connection.id)),
  termination_details: ({ info }) => some(info.connection.terminationDetails),
  transport_failure_reason: ({ info }) => some(info.connection.transportFailureReason),
};

const upstream: Group = {
  ...tlsGroup((info) => info.upstream.tls),
  address: ({ info }) => some(info.upstream.hostAddress),
  port: ({ info }) => port(info.upstream.hostAddress),
  local_address: ({ info }) => some(info.upstream.localAddress),
  transport_failure_reason: ({ info }) =>
    info.upstream.hostAddress === '' ? undefined : text(info.upstream.transportFailureReason),
  cx_pool_ready_duration: ({ info }) => between(info.upstream.startMs, info.upstream.poolReadyMs),
  request_attempt_count: ({ info }) => celLibrary().celUint(BigInt(info.attemptCount)),
};

const peer = (address: (info: StreamInfo) => string): Group => ({
  address: ({ info }) => some(address(info)),
  port: ({ info }) => port(address(info)),
});

const directions = ['', 'INBOUND', 'OUTBOUND'];

const xds: Group = {
  cluster_name: ({ info }) => some(info.upstream.clusterName),
  cluster_metadata: ({ info }) =>
    info.upstream.clusterName === '' ? undefined : celMetadata(info.clusterMetadata),
  route_name: ({ info }) => (info.virtualHostName === '' ? undefined : text(info.routeName)),
  route_metadata: ({ info }) => (info.virtualHostName === '' ? undefined : celMetadata(info.routeMetadata)),
  virtual_host_name: ({ info }) => some(info.virtualHostName),
  virtual_host_metadata: ({ info }) =>
    info.virtualHostName === '' ? undefined : celMetadata(info.virtualHostMetadata),
  upstream_host_metadata: ({ info }) =>
    info.upstream.hostAddress === '' ? undefined : celMetadata(info.hostMetadata),
  listener_direction: ({ info }) => BigInt(directions.indexOf(info.connection.listenerDirection)),
  node: () => ({ id: celNode.id, cluster: celNode.cluster }),
  filter_chain_name: ({ info }) => text(info.connection.filterChainName),
  listener_metadata: ({ info }) => celMetadata(info.connection.listenerMetadata),
};

const groups: Readonly<Record<string, Group>> = {
  request,
  response,
  connection,
  upstream,
  source: peer((info) => info.remoteAddress),
  destination: peer((info) => info.connection.localAddress),
  xds,
};

/** The variables of an expression. */
export function celAttributes(context: CelContext): Record<string, CelInput> {
  const variables: Record<string, unknown> = {
    get metadata() {
      return celMetadata(context.info.dynamicMetadata);
    },
    get filter_state() {
      return filterState(context.info.filterState);
    },
    get upstream_filter_state() {
      const { upstream } = context.info;
      return upstream.filterState === undefined ? undefined : filterState(upstream.filterState);
    },
  };
  for (const name in groups) {
    const group = groups[name]!;
    const map = lazyMap((key) => (Object.hasOwn(group, key) ? group[key]!(context) : undefined));
    celMapsWithoutKeys.add(map);
    variables[name] = map;
  }
  return variables as Record<string, CelInput>;
}

/** A map whose values are found by a function. */
function lazyMap(read: (key: string) => unknown, keys: readonly string[] = []): object {
  return celLibrary().celMap(new LazyMap(read, keys) as unknown as ReadonlyMap<string, CelInput>);
}

class LazyMap {
  readonly #read: (key: string) => unknown;
  readonly #keys: readonly string[];

  constructor(read: (key: string) => unknown, keys: readonly string[]) {
    this.#read = read;
    this.#keys = keys;
  }

  get size(): number {
    return this.#keys.length;
  }

  get(key: unknown): unknown {
    return typeof key === 'string' ? this.#read(key) : undefined;
  }

  has(key: unknown): boolean {
    return this.get(key) !== undefined;
  }

  keys(): Iterator<string> {
    return this.#keys.values();
  }

  *entries(): IterableIterator<[string, unknown]> {
    for (const key of this.#keys) yield [key, this.get(key)];
  }

  forEach(each: (value: unknown, key: string) => void): void {
    for (const key of this.#keys) each(this.get(key), key);
  }
}

const pseudoHeaders = [':method', ':path', ':authority', ':scheme', ':status'];

function headersMap(headers: HeaderMap | undefined): unknown {
  const keys: string[] = [];
  if (headers !== undefined) {
    for (const name of pseudoHeaders) if (joinedValue(headers, headerField(name), name)) keys.push(name);
    for (let i = 0; i < headers.list.length; i += 2)
      if (!keys.includes(headers.list[i]!)) keys.push(headers.list[i]!);
  }
  return lazyMap((key) => {
    const name = key.toLowerCase();
    return text(headers && joinedValue(headers, headerField(name), name));
  }, keys);
}

function filterState(state: ReadonlyMap<string, FilterStateObject> | undefined): unknown {
  return lazyMap((key) => {
    const object = state?.get(key);
    return object && Buffer.from(object.text, 'latin1');
  });
}

/** A path has none. */
function port(address: string): bigint | undefined {
  const found = portOfAddress(address);
  return address === '' || address.startsWith('/') || address.startsWith('@') ? undefined : BigInt(found);
}
