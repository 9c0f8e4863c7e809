// The hash of a request by which consistent hashing chooses a host: of a header, a cookie, the client's address and so on.
import { ipOfAddress } from '#base/cidr.ts';
import { Uint64 } from '#base/uint64.ts';
import { xxHash64 } from '#base/xxhash64.ts';
import { firstValue, HeaderField } from '#http/header-field.ts';
import type { HeaderMap } from '#http/header-map.ts';
import { cookieValue, queryParameter } from '#http/request-parameters.ts';
import type { RegexRewrite } from './matchers/substitute.ts';
import type { FilterStateObject, StreamInfo } from './stream-info.ts';

/** Whose request it is. */
export interface HashedRequest {
  /** Undefined: it has none, as of a TCP connection. */
  readonly requestHeaders?: HeaderMap | undefined;
  readonly streamInfo?: StreamInfo | undefined;
}

/** Who can put a cookie on the response. */
export interface CookieSetter {
  /** What the client's addresses are, for a cookie that tells clients apart; empty: not known, and no cookie is set. */
  readonly addresses: string;
  setCookie(text: string): void;
}

export interface HashPolicy {
  /** What comes behind it does not count once there is a hash. */
  readonly isTerminal: boolean;
  /** Hot. False: it has nothing to hash. */
  hash(request: HashedRequest, cookies: CookieSetter, into: Uint64): boolean;
}

const own = new Uint64();

export class HashPolicies {
  readonly #all: readonly HashPolicy[];

  constructor(all: readonly HashPolicy[]) {
    this.#all = all;
  }

  /** Hot. False: none of them has something to hash. */
  hash(request: HashedRequest, cookies: CookieSetter, into: Uint64): boolean {
    const all = this.#all;
    let isHashed = false;
    for (let i = 0; i < all.length; i++) {
      const policy = all[i]!;
      if (policy.hash(request, cookies, own)) {
        if (isHashed) into.rotateLeft(1);
        else into.set(0, 0);
        into.xor(own.high, own.low);
        isHashed = true;
      }
      if (isHashed && policy.isTerminal) return true;
    }
    return isHashed;
  }
}

export class HeaderHash implements HashPolicy {
  readonly isTerminal: boolean;
  readonly #name: string;
  readonly #field: HeaderField;
  readonly #rewrite: RegexRewrite | undefined;

  constructor(name: string, field: HeaderField, rewrite: RegexRewrite | undefined, isTerminal: boolean) {
    this.#name = name;
    this.#field = field;
    this.#rewrite = rewrite;
    this.isTerminal = isTerminal;
  }

  hash({ requestHeaders }: HashedRequest, _cookies: CookieSetter, into: Uint64): boolean {
    if (requestHeaders === undefined) return false;
    const value = firstValue(requestHeaders, this.#field, this.#name);
    if (value === undefined) return false;
    if (this.#field === HeaderField.Listed && requestHeaders.count(this.#name) > 1)
      this.#hashSeveral(requestHeaders, into);
    else xxHash64(this.#rewritten(value), into);
    return true;
  }

  /** Their order makes no difference. */
  #hashSeveral({ list }: HeaderMap, into: Uint64): void {
    const values: string[] = [];
    for (let i = 0; i < list.length; i += 2)
      if (list[i] === this.#name) values.push(this.#rewritten(list[i + 1]!));
    values.sort();
    into.set(0, 0);
    for (let i = 0; i < values.length; i++) xxHash64(values[i]!, into, into.low, into.high);
  }

  #rewritten(value: string): string {
    return this.#rewrite === undefined ? value : this.#rewrite.replace(value);
  }
}

export class CookieHash implements HashPolicy {
  readonly isTerminal: boolean;
  readonly #name: string;
  readonly #ttlSeconds: number;
  readonly #attributes: string;

  constructor(name: string, ttlSeconds: number, attributes: string, isTerminal: boolean) {
    this.#name = name;
    this.#ttlSeconds = ttlSeconds;
    this.#attributes = attributes;
    this.isTerminal = isTerminal;
  }

  hash({ requestHeaders }: HashedRequest, cookies: CookieSetter, into: Uint64): boolean {
    if (requestHeaders === undefined) return false;
    let value = cookieValue(requestHeaders, this.#name) ?? '';
    if (value === '') {
      if (this.#ttlSeconds < 0) return false;
      const { addresses } = cookies;
      if (addresses === '') return false;
      xxHash64(addresses, into);
      value = into.toHex();
      cookies.setCookie(`${this.#name}="${value}"${this.#attributes}`);
    }
    xxHash64(value, into);
    return true;
  }
}

export class SourceIpHash implements HashPolicy {
  readonly isTerminal: boolean;

  constructor(isTerminal: boolean) {
    this.isTerminal = isTerminal;
  }

  hash({ streamInfo }: HashedRequest, _cookies: CookieSetter, into: Uint64): boolean {
    return streamInfo !== undefined && hashIp(streamInfo.remoteAddress, into);
  }
}

/** Hot. Of `ip:port` or `[ip6]:port`; false for a path. */
export function hashIp(address: string, into: Uint64): boolean {
  const first = address.charCodeAt(0);
  const isIp = first === 0x5b || (first >= 0x30 && first <= 0x39);
  if (isIp) xxHash64(ipOfAddress(address), into);
  return isIp;
}

export class QueryParameterHash implements HashPolicy {
  readonly isTerminal: boolean;
  readonly #name: string;

  constructor(name: string, isTerminal: boolean) {
    this.#name = name;
    this.isTerminal = isTerminal;
  }

  hash({ requestHeaders }: HashedRequest, _cookies: CookieSetter, into: Uint64): boolean {
    const value = requestHeaders === undefined ? undefined : queryParameter(requestHeaders.path, this.#name);
    if (value === undefined) return false;
    xxHash64(value, into);
    return true;
  }
}

/** Only objects that can be hashed count. */
export class FilterStateHash implements HashPolicy {
  readonly isTerminal: boolean;
  readonly #key: string;

  constructor(key: string, isTerminal: boolean) {
    this.#key = key;
    this.isTerminal = isTerminal;
  }

  hash({ streamInfo }: HashedRequest, _cookies: CookieSetter, into: Uint64): boolean {
    return hashObject(streamInfo?.filterState?.get(this.#key), into);
  }
}

/** Hot. False for an object that cannot be hashed. */
export function hashObject(object: FilterStateObject | undefined, into: Uint64): boolean {
  if (object?.isHashable !== true) return false;
  xxHash64(object.text, into);
  return true;
}
