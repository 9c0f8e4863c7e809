// The headers of one message, as the codecs fill them and the filters see them. Pseudo-headers are fields; the rest is one
// flat list [name, value, name, value, ...] in wire order, so that walking it is an index loop and forwarding it needs no copy.
import { truncate } from '#base/truncate.ts';

/** How a message spelled its header names: kept by a codec that is told to preserve case, followed by the codec that writes it. */
export interface HeaderSpelling {
  /** Lower-case name -> as received first. */
  readonly names: Map<string, string>;
  /** Are names that were not received written in proper case (`X-Foo`)? */
  readonly isOthersProperCase: boolean;
  /** The reason phrase to write; empty: the usual one. */
  readonly reason: string;
}

/**
 * Names are lower-case and, when well known, interned (see `header-names.ts`): comparing is then comparing pointers. Values are
 * latin1 text. An absent pseudo-header is the empty string, an absent status 0.
 */
export class HeaderMap {
  method = '';
  scheme = '';
  authority = '';
  /** The request has a `host` header and it is empty: not the same as having none. Forwarded as it is. */
  isAuthorityEmpty = false;
  path = '';
  /** `:protocol` of an extended CONNECT (RFC 8441) on the wire. Both codecs tell upgrades in the form of HTTP/1.1, with `upgrade` and `connection`. */
  protocol = '';
  status = 0;
  /** Undefined unless the codec that read it preserves case. */
  spelling: HeaderSpelling | undefined = undefined;
  /** A filter put something in that nobody has checked: it is looked at before it goes to an upstream. */
  isUnchecked = false;
  /** [name, value, ...]. Hot code reads it by index; everybody else uses the methods. */
  readonly list: string[] = [];

  /** The first value under `name`. */
  get(name: string): string | undefined {
    const list = this.list;
    for (let i = 0; i < list.length; i += 2) if (list[i] === name) return list[i + 1];
    return undefined;
  }

  has(name: string): boolean {
    const list = this.list;
    for (let i = 0; i < list.length; i += 2) if (list[i] === name) return true;
    return false;
  }

  /** All values under `name`, joined as RFC 9110 5.3 joins them; undefined when there is none. */
  joined(name: string, separator = ','): string | undefined {
    const list = this.list;
    let all: string | undefined;
    for (let i = 0; i < list.length; i += 2) {
      if (list[i] === name) all = all === undefined ? list[i + 1] : `${all}${separator}${list[i + 1]}`;
    }
    return all;
  }

  count(name: string): number {
    const list = this.list;
    let found = 0;
    for (let i = 0; i < list.length; i += 2) if (list[i] === name) found++;
    return found;
  }

  add(name: string, value: string): void {
    this.list.push(name, value);
  }

  /** Replaces every value under `name` by one, in the place of the first. */
  set(name: string, value: string): void {
    const list = this.list;
    for (let i = 0; i < list.length; i += 2) {
      if (list[i] === name) {
        list[i + 1] = value;
        this.#removeFrom(i + 2, name);
        return;
      }
    }
    list.push(name, value);
  }

  /** Removes every value under `name`; true when there was one. */
  remove(name: string): boolean {
    const list = this.list;
    for (let i = 0; i < list.length; i += 2) {
      if (list[i] === name) {
        this.#removeFrom(i, name);
        return true;
      }
    }
    return false;
  }

  removePrefix(prefix: string): void {
    const list = this.list;
    let kept = 0;
    for (let i = 0; i < list.length; i += 2) {
      if (list[i]!.startsWith(prefix)) continue;
      list[kept] = list[i]!;
      list[kept + 1] = list[i + 1]!;
      kept += 2;
    }
    truncate(list, kept);
  }

  clear(): void {
    this.method = '';
    this.scheme = '';
    this.authority = '';
    this.isAuthorityEmpty = false;
    this.path = '';
    this.protocol = '';
    this.status = 0;
    this.spelling = undefined;
    this.isUnchecked = false;
    truncate(this.list, 0);
  }

  clone(): HeaderMap {
    const copy = new HeaderMap();
    copy.method = this.method;
    copy.scheme = this.scheme;
    copy.authority = this.authority;
    copy.isAuthorityEmpty = this.isAuthorityEmpty;
    copy.path = this.path;
    copy.protocol = this.protocol;
    copy.status = this.status;
    copy.spelling = this.spelling;
    copy.isUnchecked = this.isUnchecked;
    for (let i = 0; i < this.list.length; i++) copy.list.push(this.list[i]!);
    return copy;
  }

  #removeFrom(start: number, name: string): void {
    const list = this.list;
    let kept = start;
    for (let i = start; i < list.length; i += 2) {
      if (list[i] === name) continue;
      if (kept !== i) {
        list[kept] = list[i]!;
        list[kept + 1] = list[i + 1]!;
      }
      kept += 2;
    }
    truncate(list, kept);
  }
}
