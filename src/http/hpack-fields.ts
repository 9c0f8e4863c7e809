// What HPACK knows of header fields: the static table of RFC 7541 appendix A, and for every name the kind that the HTTP/2
// session acts upon, found once when a field enters a table and then carried along, so that a repeated field costs no check.
import { headerNames, joinedInRequests, joinedInResponses } from './header-names.ts';

/*
 * A field's kind:  | id of a name that Envoy keeps once | joins | value and name flags | FieldName |
 *                    8 ...                                7, 6    5, 4                   3 ... 0
 */

/** The low bits of a field's kind: what its name is. `Regular` needs no attention. */
export const FieldName = {
  Regular: 0,
  Method: 1,
  Scheme: 2,
  Authority: 3,
  Path: 4,
  Protocol: 5,
  Status: 6,
  UnknownPseudo: 7,
  Cookie: 8,
  Host: 9,
  Te: 10,
  ConnectionSpecific: 11,
  ContentLength: 12,
  /** No field name: upper case, other characters, or nothing. */
  Malformed: 13,
} as const;
export const fieldNameMask = 15;
/** The value has a byte that no field value has. */
export const invalidValue = 16;
/** The name has an underscore (`headers_with_underscores_action`). */
export const underscoreInName = 32;
/** Any of these needs attention. */
export const specialMask = fieldNameMask | invalidValue | underscoreInName;
/** Further values of the name join the first: in requests, in responses. */
export const joinsInRequests = 64;
export const joinsInResponses = 128;
export const joinIdShift = 8;

export interface NameInfo {
  /** Interned: the same string object for every field of this name. */
  readonly name: string;
  readonly kind: number;
}

const known: Record<string, number> = {
  ':method': FieldName.Method,
  ':scheme': FieldName.Scheme,
  ':authority': FieldName.Authority,
  ':path': FieldName.Path,
  ':protocol': FieldName.Protocol,
  ':status': FieldName.Status,
  cookie: FieldName.Cookie,
  host: FieldName.Host,
  te: FieldName.Te,
  connection: FieldName.ConnectionSpecific,
  'keep-alive': FieldName.ConnectionSpecific,
  'proxy-connection': FieldName.ConnectionSpecific,
  'transfer-encoding': FieldName.ConnectionSpecific,
  upgrade: FieldName.ConnectionSpecific,
  'content-length': FieldName.ContentLength,
};

function classifyName(name: string): number {
  if (Object.hasOwn(known, name)) return known[name]!;
  if (name.startsWith(':')) return /^:[a-z-]+$/.test(name) ? FieldName.UnknownPseudo : FieldName.Malformed;
  if (!/^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(name)) return FieldName.Malformed;
  if (name.includes('_')) return FieldName.Regular | underscoreInName;
  const id = headerNames.indexOf(name);
  if (id <= 0) return FieldName.Regular;
  const request = joinedInRequests[id] === 1 ? joinsInRequests : 0;
  const response = joinedInResponses[id] === 1 ? joinsInResponses : 0;
  return request + response === 0 ? FieldName.Regular : request | response | (joinId++ << joinIdShift);
}

/** Numbers the names that join, in the order they are met. */
let joinId = 0;

const names = new Map<string, NameInfo>();
/** Names come from the network: those beyond this are not remembered. */
const maxNames = 4096;

/** The interned name and its kind. */
export function nameInfo(name: string): NameInfo {
  const found = names.get(name);
  if (found !== undefined) return found;
  // A property key is always an internalized string; comparing two of those is comparing pointers.
  const interned = Object.keys({ [name]: 0 })[0]!;
  const info = { name: interned, kind: classifyName(interned) };
  if (names.size < maxNames) names.set(interned, info);
  return info;
}

/** RFC 9110 5.5, except that obs-text is allowed and white space around the value is, as Envoy does. */
export function isValidFieldValue(bytes: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) {
    const byte = bytes[i]!;
    if ((byte < 0x20 && byte !== 0x09) || byte === 0x7f) return false;
  }
  return true;
}

// biome-ignore format: a table
const staticTable: readonly string[] = [
  ':authority', '', ':method', 'GET', ':method', 'POST', ':path', '/', ':path', '/index.html', ':scheme', 'http',
  ':scheme', 'https', ':status', '200', ':status', '204', ':status', '206', ':status', '304', ':status', '400',
  ':status', '404', ':status', '500', 'accept-charset', '', 'accept-encoding', 'gzip, deflate', 'accept-language', '',
  'accept-ranges', '', 'accept', '', 'access-control-allow-origin', '', 'age', '', 'allow', '', 'authorization', '',
  'cache-control', '', 'content-disposition', '', 'content-encoding', '', 'content-language', '', 'content-length', '',
  'content-location', '', 'content-range', '', 'content-type', '', 'cookie', '', 'date', '', 'etag', '', 'expect', '',
  'expires', '', 'from', '', 'host', '', 'if-match', '', 'if-modified-since', '', 'if-none-match', '', 'if-range', '',
  'if-unmodified-since', '', 'last-modified', '', 'link', '', 'location', '', 'max-forwards', '',
  'proxy-authenticate', '', 'proxy-authorization', '', 'range', '', 'referer', '', 'refresh', '', 'retry-after', '',
  'server', '', 'set-cookie', '', 'strict-transport-security', '', 'transfer-encoding', '', 'user-agent', '',
  'vary', '', 'via', '', 'www-authenticate', '',
];

/** Indexed from 1, as on the wire. */
export const staticInfos: readonly NameInfo[] = [nameInfo('')];
export const staticValues: readonly string[] = [''];
export const staticCount = staticTable.length / 2;
for (let i = 0; i < staticTable.length; i += 2) {
  (staticInfos as NameInfo[]).push(nameInfo(staticTable[i]!));
  (staticValues as string[]).push(staticTable[i + 1]!);
}
