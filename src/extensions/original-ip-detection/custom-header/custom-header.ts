// The client's address from a header of the user's choice.
import { canonicalIp } from '#base/cidr.ts';
import type { OriginalIpDetection } from '#extension/original-ip-detection.ts';
import type { HeaderMap } from '#http/header-map.ts';

export interface CustomHeaderData {
  /** Lower-case. */
  readonly header: string;
  readonly isTrusted: boolean;
  readonly rejectStatus: number;
}

export class CustomHeaderDetection implements OriginalIpDetection {
  readonly isTrusted: boolean;
  readonly appendsXff = false;
  readonly rejectStatus: number;
  readonly #header: string;

  constructor({ header, isTrusted, rejectStatus }: CustomHeaderData) {
    this.#header = header;
    this.isTrusted = isTrusted;
    this.rejectStatus = rejectStatus;
  }

  detect(headers: HeaderMap): string {
    const value = headers.get(this.#header);
    return value === undefined ? '' : (canonicalIp(value) ?? '');
  }
}
