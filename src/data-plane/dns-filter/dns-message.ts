// DNS messages as dns_filter reads and writes them: one question in, answers without compression out. Follows what Envoy does with its
// parser (c-ares for names), which is laxer and stricter than RFC 1035 here and there.

export const RecordType = { A: 1, Aaaa: 28, Srv: 33 } as const;

export const ResponseCode = { NoError: 0, FormatError: 1, NameError: 3, NotImplemented: 4 } as const;
export type ResponseCode = (typeof ResponseCode)[keyof typeof ResponseCode];

export const QueryVerdict = {
  Fine: 0,
  /** The header is not whole. */
  Underflow: 1,
  /** It answers, or has answers or authorities. */
  NotAQuestion: 2,
  /** Not one question. */
  WrongCount: 3,
  Unreadable: 4,
} as const;
export type QueryVerdict = (typeof QueryVerdict)[keyof typeof QueryVerdict];

export interface DnsQuery {
  readonly verdict: QueryVerdict;
  readonly id: number;
  readonly flags: number;
  readonly hasAdditional: boolean;
  /** In text form, with escapes; empty unless the verdict is fine. */
  readonly name: string;
  readonly type: number;
}

const internetClass = 1;
const headerBytes = 12;
/** Length, one letter, end. */
const shortestName = 3;
const maxNameText = 255;
const maxLabel = 63;

export function readQuery(bytes: Buffer): DnsQuery {
  const { length } = bytes;
  const id = length >= 2 ? bytes.readUInt16BE(0) : 0;
  const flags = length >= 4 ? bytes.readUInt16BE(2) : 0;
  const verdictOnly = (verdict: QueryVerdict): DnsQuery => ({
    verdict,
    id,
    flags,
    hasAdditional: false,
    name: '',
    type: 0,
  });
  if (length < headerBytes) return verdictOnly(QueryVerdict.Underflow);
  const isResponse = (flags & 0x8000) !== 0;
  if (isResponse || bytes.readUInt16BE(6) !== 0 || bytes.readUInt16BE(8) !== 0)
    return verdictOnly(QueryVerdict.NotAQuestion);
  if (bytes.readUInt16BE(4) !== 1) return verdictOnly(QueryVerdict.WrongCount);
  if (length - headerBytes < shortestName) return verdictOnly(QueryVerdict.Unreadable);
  const read = readName(bytes, headerBytes);
  if (read === undefined || read.text === '' || length - read.end < 4)
    return verdictOnly(QueryVerdict.Unreadable);
  if (bytes.readUInt16BE(read.end + 2) !== internetClass) return verdictOnly(QueryVerdict.Unreadable);
  return {
    verdict: QueryVerdict.Fine,
    id,
    flags,
    hasAdditional: bytes.readUInt16BE(10) !== 0,
    name: read.text,
    type: bytes.readUInt16BE(read.end),
  };
}

/**
 * The name at `start`, and where what follows it begins. Pointers only lead backwards, so there is an end. Undefined also when the
 * text is longer than a name may be.
 */
function readName(bytes: Buffer, start: number): { readonly text: string; readonly end: number } | undefined {
  let text = '';
  let at = start;
  let end = -1;
  let limit = start;
  for (;;) {
    const length = bytes[at];
    if (length === undefined) return undefined;
    if ((length & 0xc0) === 0xc0) {
      const low = bytes[at + 1];
      if (low === undefined) return undefined;
      if (end < 0) end = at + 2;
      at = ((length & 0x3f) << 8) | low;
      if (at >= limit) return undefined;
      limit = at;
      continue;
    }
    if ((length & 0xc0) !== 0) return undefined;
    at++;
    if (length === 0) break;
    if (at + length > bytes.length) return undefined;
    text += (text === '' ? '' : '.') + labelText(bytes, at, at + length);
    if (text.length > maxNameText) return undefined;
    at += length;
  }
  return { text, end: end < 0 ? at : end };
}

/** What stands for itself in a name's text gets a backslash, what cannot be printed its number. */
function labelText(bytes: Buffer, start: number, end: number): string {
  let text = '';
  for (let i = start; i < end; i++) {
    const code = bytes[i]!;
    const letter = String.fromCharCode(code);
    if (code < 0x20 || code > 0x7e) text += `\\${String(code).padStart(3, '0')}`;
    else text += reserved.includes(letter) ? `\\${letter}` : letter;
  }
  return text;
}

const reserved = '".;\\()@$';

/** A record of an answer, or of what is said beside it. */
export type DnsRecord =
  | {
      readonly kind: 'address';
      readonly name: string;
      readonly type: number;
      readonly ttl: number;
      readonly address: Uint8Array;
    }
  | {
      readonly kind: 'service';
      readonly name: string;
      readonly ttl: number;
      readonly target: string;
      readonly priority: number;
      readonly weight: number;
      readonly port: number;
    };

const maxRecords = 8;
const maxResponseBytes = 512;

export interface DnsResponse {
  readonly bytes: Buffer;
  readonly code: ResponseCode;
}

/** `random`: where to begin when there are more answers than fit, from 0 to below 1. */
export function writeResponse(
  query: DnsQuery,
  isRecursionAvailable: boolean,
  answers: readonly DnsRecord[],
  additional: readonly DnsRecord[],
  random: number,
): DnsResponse {
  const isReadable = query.verdict === QueryVerdict.Fine;
  const question = isReadable ? writeQuestion(query) : undefined;
  const parts: Buffer[] = [];
  const beside: Buffer[] = [];
  if (question !== undefined) {
    let total = 2 + question.length;
    let at = answers.length > maxRecords ? Math.floor(random * answers.length) : 0;
    for (let seen = 0; seen < answers.length && parts.length < maxRecords; seen++, at++) {
      const answer = answers[at % answers.length]!;
      const own = writeRecord(answer);
      // A service comes with an address of its target.
      const address =
        answer.kind === 'service' ? additional.find((it) => it.name === answer.target) : undefined;
      const companion = address && writeRecord(address);
      if (own === undefined || (address !== undefined && companion === undefined)) continue;
      total += own.length + (companion?.length ?? 0);
      if (total > maxResponseBytes) break;
      parts.push(own);
      if (companion !== undefined) beside.push(companion);
    }
  }
  const code = responseCode(query, question !== undefined, parts.length > 0);
  const header = Buffer.alloc(headerBytes);
  header.writeUInt16BE(query.id, 0);
  // It is a response; opcode and "recursion desired" as in the query.
  header.writeUInt16BE(0x8000 | (query.flags & 0x7900) | (isRecursionAvailable ? 0x80 : 0) | code, 2);
  header.writeUInt16BE(question === undefined ? 0 : 1, 4);
  header.writeUInt16BE(parts.length, 6);
  header.writeUInt16BE(beside.length, 10);
  return {
    bytes: Buffer.concat([header, ...(question === undefined ? [] : [question]), ...parts, ...beside]),
    code,
  };
}

function responseCode(query: DnsQuery, hasQuestion: boolean, hasAnswer: boolean): ResponseCode {
  if (query.verdict !== QueryVerdict.Fine) return ResponseCode.FormatError;
  const { type } = query;
  if (type !== RecordType.A && type !== RecordType.Aaaa && type !== RecordType.Srv)
    return ResponseCode.NotImplemented;
  if (!hasQuestion) return ResponseCode.FormatError;
  return hasAnswer ? ResponseCode.NoError : ResponseCode.NameError;
}

function writeQuestion({ name, type }: DnsQuery): Buffer | undefined {
  const written = writeName(name);
  return written && Buffer.concat([written, uint16(type), uint16(internetClass)]);
}

function writeRecord(record: DnsRecord): Buffer | undefined {
  const name = writeName(record.name);
  if (name === undefined) return undefined;
  const type = record.kind === 'address' ? record.type : RecordType.Srv;
  const ttl = Buffer.alloc(4);
  ttl.writeUInt32BE(record.ttl >>> 0);
  let data: Buffer;
  if (record.kind === 'address') data = Buffer.from(record.address);
  else {
    const target = writeName(record.target);
    if (target === undefined) return undefined;
    data = Buffer.concat([uint16(record.priority), uint16(record.weight), uint16(record.port), target]);
  }
  return Buffer.concat([name, uint16(type), uint16(internetClass), ttl, uint16(data.length), data]);
}

/** Escapes stay as they are, as in Envoy: a name that has some is not the one that was asked. */
function writeName(text: string): Buffer | undefined {
  if (text.length > maxNameText) return undefined;
  const parts: Buffer[] = [];
  for (const label of text.split('.')) {
    if (label.length > maxLabel) return undefined;
    parts.push(Buffer.from([label.length]), Buffer.from(label, 'latin1'));
  }
  return Buffer.concat([...parts, Buffer.from([0])]);
}

function uint16(value: number): Buffer {
  return Buffer.from([(value >> 8) & 0xff, value & 0xff]);
}
