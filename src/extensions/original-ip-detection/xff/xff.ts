// The client's address from x-forwarded-for: behind a number of proxies, or behind those of known addresses.
import { Cidr, CidrList } from '#base/cidr.ts';
import type { OriginalIpDetection } from '#extension/original-ip-detection.ts';
import { addressFromEnd, lastUntrustedAddress } from '#http/forwarded-for.ts';
import type { HeaderMap } from '#http/header-map.ts';

export interface XffData {
  readonly trustedHops: number;
  /** Ranges as text. Undefined: hops are counted. */
  readonly trustedCidrs: readonly string[] | undefined;
  readonly appendsXff: boolean;
}

export class XffDetection implements OriginalIpDetection {
  readonly appendsXff: boolean;
  readonly rejectStatus = 0;
  isTrusted = false;
  readonly #trustedHops: number;

  constructor({ trustedHops, appendsXff }: XffData) {
    this.#trustedHops = trustedHops;
    this.appendsXff = appendsXff;
  }

  detect(headers: HeaderMap): string {
    const xff = headers.joined('x-forwarded-for');
    if (xff === undefined) return '';
    this.isTrusted = !xff.includes(',');
    return addressFromEnd(xff, this.#trustedHops);
  }
}

export class TrustedProxiesDetection implements OriginalIpDetection {
  readonly appendsXff: boolean;
  readonly rejectStatus = 0;
  isTrusted = false;
  readonly #proxies: CidrList;
  readonly #isProxy = (ip: string) => this.#proxies.contains(ip);

  constructor(cidrs: readonly string[], appendsXff: boolean) {
    this.#proxies = new CidrList(cidrs.flatMap((it) => Cidr.parse(it) ?? []));
    this.appendsXff = appendsXff;
  }

  detect(headers: HeaderMap, peerIp: string): string {
    if (!this.#proxies.contains(peerIp)) return '';
    const xff = headers.joined('x-forwarded-for');
    if (xff === undefined) return '';
    this.isTrusted = !xff.includes(',');
    return lastUntrustedAddress(xff, this.#isProxy);
  }
}
