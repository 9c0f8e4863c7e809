// Turns the fields of one header block into a `HeaderMap`, with the verdicts of nghttp2 and Envoy on what a message may hold
// (RFC 9113 8.2 and 8.3). One collector serves all blocks of a connection.

import { UnderscoreAction } from './h1-options.ts';
import { HeaderMap } from './header-map.ts';
import type { FieldReceiver } from './hpack-decoder.ts';
import {
  FieldName,
  fieldNameMask,
  invalidValue,
  joinIdShift,
  joinsInRequests,
  joinsInResponses,
  specialMask,
  underscoreInName,
} from './hpack-fields.ts';

export const Verdict = {
  Ok: 0,
  /** nghttp2's HTTP_HEADER: a field that makes the message malformed. */
  InvalidField: 1,
  /** nghttp2's HTTP_MESSAGING: the fields do not make a message. */
  InvalidMessage: 2,
  TooMany: 3,
  TooLarge: 4,
  Underscore: 5,
} as const;
export type Verdict = (typeof Verdict)[keyof typeof Verdict];

export const BlockKind = { Request: 0, Response: 1, Trailers: 2 } as const;
export type BlockKind = (typeof BlockKind)[keyof typeof BlockKind];

export interface MessageLimits {
  /** Names and values together, from `max_request_headers_kb` (default 60). */
  readonly maxHeaderBytes: number;
  /** `max_headers_count`, default 100. */
  readonly maxHeaderCount: number;
  readonly underscoreAction: UnderscoreAction;
  /** `allow_connect`: requests may have a `:protocol`. */
  readonly allowConnect: boolean;
  /** Not `disallow_obs_text`: values may have bytes above 0x7f. */
  readonly allowObsText: boolean;
}

export class MessageCollector implements FieldReceiver {
  /** The message so far. Whoever gets it owns it: every block begins with a new one. */
  headers = new HeaderMap();
  verdict: Verdict = Verdict.Ok;
  /** -1: none. */
  contentLength = -1;
  droppedUnderscores = 0;
  /** Names and values, as they came, of the fields that are none of a malformed message. */
  fieldBytes = 0;
  readonly #limits: MessageLimits;
  #kind: BlockKind = BlockKind.Request;
  /** The flag of names that join in this kind of block, and a bit for each of them that was there. */
  #joins = 0;
  readonly #joined = new Int32Array(4);
  #sawRegular = false;
  #host = '';
  #cookies = '';
  #bytes = 0;
  #count = 0;

  constructor(limits: MessageLimits) {
    this.#limits = limits;
  }

  begin(kind: BlockKind): void {
    this.headers = new HeaderMap();
    this.verdict = Verdict.Ok;
    this.contentLength = -1;
    this.droppedUnderscores = 0;
    this.fieldBytes = 0;
    this.#kind = kind;
    this.#joins =
      kind === BlockKind.Request ? joinsInRequests : kind === BlockKind.Response ? joinsInResponses : 0;
    this.#joined.fill(0);
    this.#sawRegular = false;
    this.#host = '';
    this.#cookies = '';
    this.#bytes = 0;
    this.#count = 0;
  }

  /** The block only has to be decoded: its stream is gone or refused. */
  ignore(): void {
    this.begin(BlockKind.Trailers);
    this.verdict = Verdict.InvalidMessage;
  }

  onField(name: string, value: string, kind: number): void {
    if (this.verdict !== Verdict.Ok) return;
    const length = name.length + value.length;
    if ((kind & specialMask) !== FieldName.Regular) {
      this.#special(name, value, kind);
      if (this.#isWellFormed) this.fieldBytes += length;
      return;
    }
    this.fieldBytes += length;
    this.#sawRegular = true;
    if (!this.#limits.allowObsText && hasObsText(value)) this.verdict = Verdict.InvalidField;
    if ((kind & this.#joins) === 0 || !this.#join(name, value, kind >> joinIdShift)) {
      this.headers.list.push(name, value);
    }
    this.#measure(length);
  }

  get #isWellFormed(): boolean {
    return this.verdict !== Verdict.InvalidField;
  }

  /** Whether the value was added to an earlier one of the same name. */
  #join(name: string, value: string, id: number): boolean {
    const bit = 1 << (id & 31);
    const word = this.#joined[id >> 5]!;
    if ((word & bit) !== 0) {
      const { headers } = this;
      headers.set(name, `${headers.get(name)},${value}`);
      return true;
    }
    this.#joined[id >> 5] = word | bit;
    return false;
  }

  /** The block is complete: says what is to be thought of it. */
  finish(): Verdict {
    if (this.verdict !== Verdict.Ok) return this.verdict;
    const headers = this.headers;
    if (this.#cookies !== '') headers.list.push('cookie', this.#cookies);
    if (this.#kind === BlockKind.Request && !this.#isRequest()) return Verdict.InvalidMessage;
    if (this.#kind === BlockKind.Response && headers.status === 0) return Verdict.InvalidMessage;
    return Verdict.Ok;
  }

  #isRequest(): boolean {
    const headers = this.headers;
    if (headers.authority === '') headers.authority = this.#host;
    const connect = headers.method === 'CONNECT';
    if (connect && headers.protocol === '') {
      // RFC 9113 8.5; a body has no length then.
      this.contentLength = -1;
      return headers.scheme === '' && headers.path === '' && headers.authority !== '';
    }
    if (headers.method === '' || headers.scheme === '' || headers.path === '') return false;
    if (headers.authority === '') return false;
    if (headers.protocol !== '' && !connect) return false;
    if (headers.scheme !== 'http' && !/^https?$/i.test(headers.scheme)) return true;
    const path = headers.path;
    return path.charCodeAt(0) === 0x2f || (path === '*' && headers.method === 'OPTIONS');
  }

  #special(name: string, value: string, kind: number): void {
    const what = kind & fieldNameMask;
    if (what === FieldName.Malformed || (kind & invalidValue) !== 0) this.verdict = Verdict.InvalidField;
    else if (what >= FieldName.Method && what <= FieldName.UnknownPseudo) {
      const isAllowed = !this.#sawRegular && this.#kind !== BlockKind.Trailers;
      if (!isAllowed || !this.#pseudo(what, value)) this.verdict = Verdict.InvalidField;
      this.#measure(name.length + value.length);
    } else {
      this.#sawRegular = true;
      this.#regular(name, value, kind, what);
    }
  }

  #regular(name: string, value: string, kind: number, what: number): void {
    if ((kind & underscoreInName) !== 0 && this.#limits.underscoreAction !== UnderscoreAction.Allow) {
      if (this.#limits.underscoreAction === UnderscoreAction.DropHeader) this.droppedUnderscores++;
      else this.verdict = Verdict.Underscore;
      return;
    }
    if (what === FieldName.Cookie) {
      // RFC 9113 8.2.3. Every crumb counts, so that they cannot add up to what one field may not be.
      this.#measure(this.#cookies === '' ? value.length : value.length + 2);
      this.#cookies = this.#cookies === '' ? value : `${this.#cookies}; ${value}`;
      return;
    }
    if (what === FieldName.Host && this.#kind === BlockKind.Request) {
      if (this.#host !== '' || !isAuthority(value)) this.verdict = Verdict.InvalidField;
      // The same as :authority, which wins when both are there.
      this.#host = value;
      this.#measure(name.length + value.length);
      return;
    }
    if (
      what === FieldName.ConnectionSpecific ||
      (what === FieldName.Te && value.toLowerCase() !== 'trailers')
    ) {
      this.verdict = Verdict.InvalidField;
      return;
    }
    if (what === FieldName.ContentLength && !this.#length(value)) return;
    // All that `te` can say is `trailers`: in a request, where Envoy would join the two, once is enough.
    const isRepeated = what === FieldName.Te && this.#kind === BlockKind.Request && this.headers.has(name);
    if (!isRepeated) this.headers.list.push(name, value);
    this.#measure(name.length + value.length);
  }

  #pseudo(what: number, value: string): boolean {
    if (value === '') return false;
    const headers = this.headers;
    if (this.#kind === BlockKind.Response) {
      const status = value.length === 3 ? decimal(value) : -1;
      // RFC 9113 8.6: HTTP/2 has no 101.
      if (what !== FieldName.Status || headers.status !== 0 || status < 100 || status === 101) return false;
      headers.status = status;
      return true;
    }
    switch (what) {
      case FieldName.Method:
        if (headers.method !== '' || !isMethod(value)) return false;
        headers.method = value;
        return true;
      case FieldName.Scheme:
        if (headers.scheme !== '') return false;
        if (value !== 'http' && value !== 'https' && !/^[a-z][a-z0-9+.-]*$/i.test(value)) return false;
        headers.scheme = value;
        return true;
      case FieldName.Authority:
        if (headers.authority !== '' || !isAuthority(value)) return false;
        headers.authority = value;
        return true;
      case FieldName.Path:
        if (headers.path !== '' || !isPath(value)) return false;
        headers.path = value;
        return true;
      case FieldName.Protocol:
        if (headers.protocol !== '' || !this.#limits.allowConnect) return false;
        headers.protocol = value;
        return true;
      default:
        return false;
    }
  }

  /** Whether the field is kept; sets the verdict when the message is malformed. */
  #length(value: string): boolean {
    const status = this.headers.status;
    if (status === 204 && value === '0') return false;
    const length = decimal(value);
    if (this.contentLength >= 0 || length < 0 || status === 204 || (status >= 100 && status < 200)) {
      this.verdict = Verdict.InvalidField;
      return false;
    }
    if (this.#kind !== BlockKind.Trailers) this.contentLength = length;
    return true;
  }

  #measure(bytes: number): void {
    this.#bytes += bytes;
    this.#count++;
    if (this.verdict !== Verdict.Ok) return;
    if (this.#bytes > this.#limits.maxHeaderBytes) this.verdict = Verdict.TooLarge;
    else if (this.#count > this.#limits.maxHeaderCount) this.verdict = Verdict.TooMany;
  }
}

function hasObsText(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x7f) return true;
  return false;
}

/** -1: not digits, or too many of them. */
function decimal(text: string): number {
  if (text.length === 0 || text.length > 15) return -1;
  let value = 0;
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value;
}

function isMethod(text: string): boolean {
  return text === 'GET' || text === 'POST' || /^[!#$%&'*+.^_`|~0-9a-z-]+$/i.test(text);
}

/** Everything but controls and space, as nghttp2 and Envoy have it. */
function isPath(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code <= 0x20 || code === 0x7f) return false;
  }
  return true;
}

/** The bytes of RFC 3986 3.2 without those of user information (RFC 9113 8.3.1), in any order. */
function isAuthority(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code >= 0x80 || authorityBytes[code] === 0) return false;
  }
  return text !== '';
}
const authorityBytes = new Uint8Array(128);
for (const byte of Buffer.from(
  "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~%!$&'()*+,;=:[]",
)) {
  authorityBytes[byte] = 1;
}
