// Walks ASN.1 in DER, as far as certificates and OCSP responses need it. Reading past the end throws a RangeError.

export interface DerElement {
  /** The first byte: class, constructed or not, number. */
  readonly tag: number;
  readonly content: Buffer;
}

export const DerTag = {
  Boolean: 0x01,
  Integer: 0x02,
  OctetString: 0x04,
  Enumerated: 0x0a,
  Utf8String: 0x0c,
  GeneralizedTime: 0x18,
  BmpString: 0x1e,
  Sequence: 0x30,
} as const;

/** `[0]` of a constructed type is 0xa0. */
export function contextTag(number: number): number {
  return 0xa0 | number;
}

/** The elements that stand one behind another in `bytes`. */
export function derElements(bytes: Buffer): DerElement[] {
  const all: DerElement[] = [];
  let at = 0;
  while (at < bytes.length) {
    const tag = bytes.readUInt8(at++);
    let length = bytes.readUInt8(at++);
    if (length > 0x80) {
      const size = length & 0x7f;
      length = bytes.readUIntBE(at, size);
      at += size;
    }
    if (at + length > bytes.length) throw new RangeError('an element is longer than what holds it');
    all.push({ tag, content: bytes.subarray(at, at + length) });
    at += length;
  }
  return all;
}

/** `20261121150000Z` in ms. */
export function generalizedTimeMs(text: string): number {
  const parts = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(text);
  if (parts === null) throw new RangeError(`not a time: ${text}`);
  const [, year, month, day, hour, minute, second] = parts.map(Number);
  return Date.UTC(year!, month! - 1, day, hour, minute, second);
}

/** The content of an object identifier that is written `1.3.6.1`; undefined when it is not well written. */
export function objectIdentifier(text: string): Buffer | undefined {
  if (!/^[0-2](?:\.\d{1,15})+$/.test(text)) return undefined;
  const [first, second, ...rest] = text.split('.').map(Number);
  if (first! < 2 && second! > 39) return undefined;
  const bytes: number[] = [];
  for (const value of [first! * 40 + second!, ...rest]) {
    const groups = [value % 128];
    for (let left = Math.floor(value / 128); left > 0; left = Math.floor(left / 128))
      groups.unshift((left % 128) | 0x80);
    bytes.push(...groups);
  }
  return Buffer.from(bytes);
}
