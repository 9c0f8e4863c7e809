// Header names as interned strings. A name that arrives as bytes is hashed while it is scanned; known names, and custom ones
// seen lately, come back as the one string that stands for them, so that no name is allocated and comparing is comparing pointers.

/** Ids of names that the HTTP/1 codec itself acts on. `Unknown` is a name without an id. */
export const HeaderId = {
  Unknown: 0,
  Host: 1,
  ContentLength: 2,
  TransferEncoding: 3,
  Connection: 4,
  Upgrade: 5,
} as const;

// In the order of `HeaderId`.
const framingNames = 'host content-length transfer-encoding connection upgrade';

// Envoy keeps one entry for each of these and joins further values with a comma (`host: a`, `host: b` is `a,b`); which ones they
// are was asked of Envoy 1.40, name by name, for requests and for responses.
const joinedInBoth =
  'cache-control content-encoding content-type via x-envoy-attempt-count x-envoy-decorator-operation ' +
  'x-request-id keep-alive proxy-connection';

const joinedInRequestsOnly =
  'accept accept-encoding access-control-request-headers access-control-request-method ' +
  'access-control-request-private-network authorization cdn-loop expect grpc-accept-encoding ' +
  'grpc-timeout if-match if-modified-since if-none-match if-range if-unmodified-since origin pragma ' +
  'referer te user-agent x-client-trace-id x-envoy-downstream-service-cluster ' +
  'x-envoy-downstream-service-node x-envoy-expected-rq-timeout-ms x-envoy-external-address ' +
  'x-envoy-force-trace x-envoy-hedge-on-per-try-timeout x-envoy-internal x-envoy-ip-tags ' +
  'x-envoy-is-timeout-retry x-envoy-max-retries x-envoy-original-path x-envoy-retriable-header-names ' +
  'x-envoy-retriable-status-codes x-envoy-retry-grpc-on x-envoy-retry-on x-envoy-upstream-alt-stat-name ' +
  'x-envoy-upstream-rq-per-try-timeout-ms x-envoy-upstream-rq-timeout-alt-response ' +
  'x-envoy-upstream-rq-timeout-ms x-forwarded-client-cert x-forwarded-for x-forwarded-host ' +
  'x-forwarded-port x-forwarded-proto';

const joinedInResponsesOnly =
  'access-control-allow-credentials access-control-allow-headers access-control-allow-methods ' +
  'access-control-allow-origin access-control-expose-headers access-control-max-age age date etag ' +
  'expires grpc-message grpc-status last-modified location server vary x-envoy-degraded ' +
  'x-envoy-immediate-health-check-fail x-envoy-ratelimited x-envoy-upstream-canary ' +
  'x-envoy-upstream-healthchecked-cluster x-envoy-upstream-service-time';

// Names worth an id only because they are frequent.
const plainNames =
  'accept-charset accept-language accept-ranges allow alt-svc baggage content-disposition ' +
  'content-language content-location content-md5 content-range content-security-policy cookie dnt ' +
  'forwarded from grpc-encoding grpc-status-details-bin http2-settings link max-forwards priority ' +
  'proxy-authenticate proxy-authorization range retry-after sec-ch-ua sec-ch-ua-mobile ' +
  'sec-ch-ua-platform sec-fetch-dest sec-fetch-mode sec-fetch-site sec-fetch-user sec-websocket-accept ' +
  'sec-websocket-extensions sec-websocket-key sec-websocket-protocol sec-websocket-version set-cookie ' +
  'strict-transport-security traceparent tracestate trailer upgrade-insecure-requests warning ' +
  'www-authenticate x-amzn-trace-id x-api-key x-b3-parentspanid x-b3-sampled x-b3-spanid x-b3-traceid ' +
  'x-cloud-trace-context x-content-type-options x-correlation-id x-csrf-token x-envoy-overloaded ' +
  'x-frame-options x-ot-span-context x-powered-by x-real-ip x-requested-with x-xss-protection';

/** Known names by id. */
export const headerNames: readonly string[] = [
  '',
  ...[framingNames, joinedInBoth, joinedInRequestsOnly, joinedInResponsesOnly, plainNames]
    .join(' ')
    .split(' '),
];

/** By id: is this header kept as one entry, further values joined to it? */
export const joinedInRequests: Uint8Array = new Uint8Array(headerNames.length);
export const joinedInResponses: Uint8Array = new Uint8Array(headerNames.length);

const requestJoined = new Set([framingNames, joinedInBoth, joinedInRequestsOnly].join(' ').split(' '));
const responseJoined = new Set([framingNames, joinedInBoth, joinedInResponsesOnly].join(' ').split(' '));

/** What `joinedInRequests` and `joinedInResponses` say, by name. */
export function isJoinedInRequests(name: string): boolean {
  return requestJoined.has(name);
}

export function isJoinedInResponses(name: string): boolean {
  return responseJoined.has(name);
}

/** The interned string for a name, lower-cased: what configuration is compiled with. */
export function headerName(name: string): string {
  const lower = name.toLowerCase();
  return known.get(lower) ?? lower;
}

/**
 * Byte -> lower-case byte for every character a name may have (RFC 9110 5.6.2 token), 0 for the others. The scanner of the
 * parser hashes with it: `hash = (hash * 31 + nameBytes[byte]) | 0`.
 */
export const nameBytes: Uint8Array = new Uint8Array(256);
for (const c of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")
  nameBytes[c.charCodeAt(0)] = c.charCodeAt(0);
for (const c of 'ABCDEFGHIJKLMNOPQRSTUVWXYZ') nameBytes[c.charCodeAt(0)] = c.charCodeAt(0) + 32;

/** The id of the name at `bytes[start..end)` whose hash is `hash`; `HeaderId.Unknown` when it is not a known one. */
export function headerId(bytes: Uint8Array, start: number, end: number, hash: number): number {
  for (let slot = hash & SLOT_MASK; ; slot = (slot + 1) & SLOT_MASK) {
    const id = slots[slot]!;
    if (id === HeaderId.Unknown) return id;
    if (hashes[slot] === hash && isKnownName(id, bytes, start, end)) return id;
  }
}

/** The string of an unknown name, the same one as last time as long as no other name took its place. */
export function recentName(bytes: Buffer, start: number, end: number, hash: number): string {
  const slot = hash & RECENT_MASK;
  const name = recent[slot]!;
  if (isName(name, bytes, start, end)) return name;
  const fresh = bytes.toString('latin1', start, end).toLowerCase();
  // Long names are not worth keeping: a client could fill the table with them.
  if (end - start <= 64) recent[slot] = fresh;
  return fresh;
}

function isKnownName(id: number, bytes: Uint8Array, start: number, end: number): boolean {
  let at = spelledAt[id]!;
  if (spelledAt[id + 1]! - at !== end - start) return false;
  for (let i = start; i < end; i++) if (nameBytes[bytes[i]!] !== spelled[at++]) return false;
  return true;
}

function isName(name: string, bytes: Uint8Array, start: number, end: number): boolean {
  const length = end - start;
  if (name.length !== length) return false;
  for (let i = 0; i < length; i++) if (name.charCodeAt(i) !== nameBytes[bytes[start + i]!]) return false;
  return true;
}

for (const name of [framingNames, joinedInBoth, joinedInRequestsOnly].join(' ').split(' ')) {
  joinedInRequests[headerNames.indexOf(name)] = 1;
}
for (const name of [framingNames, joinedInBoth, joinedInResponsesOnly].join(' ').split(' ')) {
  joinedInResponses[headerNames.indexOf(name)] = 1;
}
joinedInResponses[HeaderId.Host] = 0;

const SLOT_MASK = 1023;
const slots = new Uint16Array(SLOT_MASK + 1);
const hashes = new Int32Array(SLOT_MASK + 1);
/** The bytes of all known names, one behind the other, and where each begins. */
const spelled: Uint8Array = Buffer.from(headerNames.join(''), 'latin1');
const spelledAt = new Uint16Array(headerNames.length + 1);
for (let id = 0; id < headerNames.length; id++) spelledAt[id + 1] = spelledAt[id]! + headerNames[id]!.length;
const RECENT_MASK = 511;
const recent: string[] = new Array(RECENT_MASK + 1).fill('');
const known = new Map<string, string>();
for (let id = 1; id < headerNames.length; id++) {
  const name = headerNames[id]!;
  known.set(name, name);
  let hash = 0;
  for (let i = 0; i < name.length; i++) hash = (Math.imul(hash, 31) + name.charCodeAt(i)) | 0;
  let slot = hash & SLOT_MASK;
  while (slots[slot] !== 0) slot = (slot + 1) & SLOT_MASK;
  slots[slot] = id;
  hashes[slot] = hash;
}
