// HTTP/1 bytes -> heads, body slices, trailers, for requests and responses alike. The scanner touches every byte of a head once;
// names come out interned, values as substrings of one latin1 text. What is accepted is what Envoy's Balsa parser accepts.
import { finished, smallBytes } from '#base/read-buffers.ts';
import { truncate } from '#base/truncate.ts';
import type { CodecError } from './codec.ts';
import { h1Errors as errors } from './h1-error.ts';
import { HeaderKeyFormat, type Http1Options, UnderscoreAction } from './h1-options.ts';
import { HeaderMap } from './header-map.ts';
import {
  HeaderId,
  headerId,
  headerNames,
  joinedInRequests,
  joinedInResponses,
  nameBytes,
  recentName,
} from './header-names.ts';

/** How the bytes after a head are read. The codec answers with one of these when it is given a head. */
export const Body = { None: 0, Length: 1, Chunked: 2, UntilClose: 3, Raw: 4, Interim: 5, Failed: 6 } as const;
export type Body = (typeof Body)[keyof typeof Body];

/** The codec above. */
export interface H1Receiver {
  /** The first byte of a message, which may turn out to be none. Once per message. */
  onMessageBegin(): void;
  /** The head is complete; the fields of the parser describe it. Returns how to go on; `Interim`: another head follows this 1xx. */
  onHead(): Body;
  /** Body bytes; `end` when the message is complete with them. */
  onBody(data: Buffer, end: boolean): void;
  /** The message is complete with these trailers. Not called when trailers are dropped. */
  onTrailers(trailers: HeaderMap): void;
}

const State = {
  Head: 0,
  Length: 1,
  ChunkSize: 2,
  ChunkExtension: 3,
  ChunkData: 4,
  ChunkEnd: 5,
  Trailers: 6,
  UntilClose: 7,
  Raw: 8,
  Complete: 9,
  Failed: 10,
} as const;
type State = (typeof State)[keyof typeof State];

export class H1Parser {
  // Of the current head, from `onHead` on.
  headers: HeaderMap = noHeaders;
  target = '';
  isHttp11 = true;
  /** What the log operators count of the head or the trailers: name, value, colon and line end of each line. */
  headerBytes = 0;
  /** 0 when there is none. It may be broken in a chunked message. */
  contentLength = 0;
  hasContentLength = false;
  /** The last `transfer-encoding` line says `chunked`; there may be others. */
  isChunked = false;
  /** Values of headers the codec decides by; undefined when absent. */
  transferEncoding: string | undefined = undefined;
  connection: string | undefined = undefined;
  upgrade: string | undefined = undefined;

  /** What is wrong, once `hasFailed`. */
  error: CodecError = errors.codec;

  readonly #isRequest: boolean;
  readonly #joined: Uint8Array;
  readonly #receiver: H1Receiver;
  readonly #options: Http1Options;
  #state: State = State.Head;
  #hasBegun = false;
  /** The first line was found acceptable. */
  #hasFirstLine = false;
  /** The first `#partLength` bytes: a head or trailer block that has not arrived completely. */
  #part: Buffer = nothing;
  #partLength = 0;
  /** Body or chunk bytes still to come; the chunk size while its line is read. */
  #remaining = 0;
  #sizeDigits = 0;
  #sawReturn = false;
  /** What this read had of a chunked body so far: small chunks are delivered as one, and with the end when that is there too. */
  #held: Buffer = nothing;
  readonly #more: Buffer[] = [];
  #heldLength = 0;
  /** Of the bytes being parsed, how many were handed on. */
  #passedOn = 0;

  constructor(isRequest: boolean, receiver: H1Receiver, options: Http1Options) {
    this.#isRequest = isRequest;
    this.#joined = isRequest ? joinedInRequests : joinedInResponses;
    this.#receiver = receiver;
    this.#options = options;
  }

  get isComplete(): boolean {
    return this.#state === State.Complete;
  }

  get hasFailed(): boolean {
    return this.#state === State.Failed;
  }

  /** Something of a message was read, and it has an end that was not. */
  get isUnderWay(): boolean {
    return this.#state === State.Head ? this.#hasBegun : this.#state < State.UntilClose;
  }

  /** Begins the next message; an idle connection keeps nothing of the last one. */
  reset(): void {
    this.headers = noHeaders;
    this.target = '';
    this.transferEncoding = undefined;
    this.connection = undefined;
    this.upgrade = undefined;
    this.#state = State.Head;
    this.#hasBegun = false;
    this.#hasFirstLine = false;
    this.#partLength = 0;
    this.#dropHeld();
  }

  /** Nothing more is read. The codec fails a message that parses but is not allowed; the parser one that does not parse. */
  fail(error: CodecError): typeof Body.Failed {
    this.#state = State.Failed;
    this.#dropHeld();
    this.error = error;
    return Body.Failed;
  }

  /** The peer will send no more. True when that is the proper end of the message. */
  end(): boolean {
    if (this.#state !== State.UntilClose) return false;
    this.#state = State.Complete;
    this.#receiver.onBody(nothing, true);
    return true;
  }

  /** Parses from `offset` to the end of one message. Returns the index of the first byte that does not belong to it. */
  execute(bytes: Buffer, offset: number): number {
    this.#passedOn = 0;
    const stop = this.#execute(bytes, offset);
    // Large reads come in memory that goes around: heads and framing have been read, and nobody else will report them.
    if (bytes.length >= smallBytes) finished(bytes, stop - offset - this.#passedOn);
    return stop;
  }

  #execute(bytes: Buffer, offset: number): number {
    const end = bytes.length;
    let i = offset;
    while (i < end) {
      switch (this.#state) {
        case State.Head:
          i = this.#readHead(bytes, i, end);
          break;
        case State.Length:
          i = this.#readLength(bytes, i, end);
          break;
        case State.ChunkSize:
          i = this.#readChunkSize(bytes, i, end);
          break;
        case State.ChunkExtension:
          i = this.#readChunkExtension(bytes, i, end);
          break;
        case State.ChunkData:
          i = this.#readChunkData(bytes, i, end);
          break;
        case State.ChunkEnd:
          i = this.#readChunkEnd(bytes, i, end);
          break;
        case State.Trailers:
          i = this.#readTrailers(bytes, i, end);
          break;
        case State.UntilClose:
        case State.Raw:
          this.#receiver.onBody(this.#pass(bytes, i, end), false);
          return end;
        default:
          return i;
      }
    }
    if (this.#heldLength > 0) this.#releaseHeld();
    return i;
  }

  // ---- the head

  #readHead(bytes: Buffer, from: number, end: number): number {
    if (this.#partLength > 0) return this.#continueBlock(bytes, from, end);
    let i = from;
    if (this.#isRequest) {
      // RFC 9112 2.2: empty lines before a request are skipped. The message begins with them.
      if (bytes[i] === CR || bytes[i] === LF) this.#begin();
      while (bytes[i] === CR || bytes[i] === LF) if (++i === end) return end;
      // TLS on a plain port need not wait for a line feed.
      if (bytes[i]! <= SPACE) return this.#refuse(errors.invalidMethod, end);
    } else if (bytes[i] !== LETTER_H) return this.#refuse(errors.invalidVersion, end);
    this.#begin();
    const next = this.#parseHead(bytes, i, end);
    if (next !== INCOMPLETE) return next;
    this.#keep(bytes, i, end);
    return end;
  }

  #begin(): void {
    if (this.#hasBegun) return;
    this.#hasBegun = true;
    this.#receiver.onMessageBegin();
  }

  /** Parses a head at `start`. Returns the index after it, `end` when it is refused, or INCOMPLETE. */
  #parseHead(bytes: Buffer, start: number, end: number): number {
    // Three words; what is between them is any byte up to the space.
    let i = start;
    while (i < end && bytes[i]! > SPACE) i++;
    const word1End = i;
    while (i < end && bytes[i]! <= SPACE && bytes[i] !== LF) i++;
    const word2 = i;
    while (i < end && bytes[i]! > SPACE) i++;
    const word2End = i;
    while (i < end && bytes[i]! <= SPACE && bytes[i] !== LF) i++;
    const word3 = i;
    while (i < end && bytes[i] !== LF) i++;
    if (i >= end) return this.#incomplete(end - start, end);
    let word3End = i;
    while (word3End > word3 && bytes[word3End - 1]! <= SPACE) word3End--;
    i++;

    const isRequest = this.#isRequest;
    const method = isRequest ? methodAt(bytes, start, word1End) : undefined;
    const status = isRequest ? 0 : statusAt(bytes, word2, word2End);
    const versionStart = isRequest ? word3 : start;
    const versionEnd = isRequest ? word3End : word1End;
    // HTTP/0.9: a request without a version is its first line.
    const isLineOnly = isRequest && word3 === word3End;
    const isHttp11 = isLineOnly
      ? // Envoy asks how the line ends: `GET /HTTP/1.1` is a line of HTTP/1.1.
        (bytes[word2End] === LF || bytes[word2End] === CR) && isVersion11(bytes, word2End - 8, word2End)
      : isVersion11(bytes, versionStart, versionEnd);
    if (!this.#hasFirstLine) {
      let error: CodecError | undefined;
      if (isRequest) {
        if (method === undefined && !(this.#options.allowCustomMethods && isToken(bytes, start, word1End))) {
          error = errors.invalidMethod;
        } else if (!isTarget(bytes, word2, word2End, method === 'CONNECT')) error = errors.invalidTarget;
      } else if (status < 0) error = errors.invalidStatus;
      if (error === undefined && !isHttp11 && !isVersion(bytes, versionStart, versionEnd))
        error = errors.invalidVersion;
      if (error !== undefined) {
        // As in Envoy a bad byte counts more than anything else once the whole head is here, and so does its size.
        const headEnd = findBlockEnd(bytes, i, end, LINE_START);
        if (headEnd !== INCOMPLETE && hasInvalidByte(bytes, start, headEnd)) error = errors.invalidCharacters;
        else if ((headEnd === INCOMPLETE ? end : headEnd) - start > this.#options.maxHeadersBytes) {
          error = errors.headersTooLarge;
        }
        return this.#refuse(error, end);
      }
      this.#hasFirstLine = true;
    }

    const bodyStart = isLineOnly ? i : scanLines(bytes, i, end);
    if (bodyStart === INCOMPLETE) return this.#incomplete(end - start, end);
    if (bodyStart === BAD) return this.#judgeBadBlock(bytes, start, end, OTHER_COLUMN);
    if (bodyStart === TOO_MANY) return this.#refuse(errors.tooManyHeaders, end);
    if (bodyStart - start > this.#options.maxHeadersBytes) return this.#refuse(errors.headersTooLarge, end);
    // The lines were scanned for bad bytes; the words of a request line cannot hold any, what is between them can, and so can a
    // reason phrase.
    const isPlain =
      bytes[word1End] === SPACE &&
      word2 - word1End === 1 &&
      bytes[word2End] === SPACE &&
      word3 - word2End === 1;
    if ((!isPlain || i - word3End > 2 || !isRequest) && hasInvalidByte(bytes, start, i)) {
      return this.#refuse(errors.invalidCharacters, end);
    }

    const text = bytes.toString('latin1', start, bodyStart);
    const headers = new HeaderMap();
    this.headers = headers;
    this.headerBytes = isLineOnly ? 3 : lineBytes(lineCount);
    this.isHttp11 = isHttp11;
    headers.status = status;
    if (isRequest) {
      headers.method = method ?? text.substring(0, word1End - start);
      this.target = text.substring(word2 - start, word2End - start);
    }
    const options = this.#options;
    if (options.headerKeyFormat === HeaderKeyFormat.PreserveCase) {
      headers.spelling = {
        names: new Map(),
        isOthersProperCase: options.properCaseOnOwnHeaders,
        reason: options.forwardReasonPhrase ? text.substring(word3 - start, word3End - start) : '',
      };
    }
    const error = this.#buildHeaders(bytes, start, isLineOnly ? 0 : lineCount, text);
    if (error !== undefined) return this.#refuse(error, end);
    this.#readBody(this.#receiver.onHead());
    return bodyStart;
  }

  /** Scratch arrays -> fields and header list. `start` is where `text` begins in `bytes`. */
  #buildHeaders(bytes: Buffer, start: number, lines: number, text: string): CodecError | undefined {
    const options = this.#options;
    const headers = this.headers;
    const list = headers.list;
    const spelling = headers.spelling;
    const stamp = ++messageStamp;
    let count = 0;
    let lengthError: CodecError | undefined;
    let firstError: CodecError | undefined;
    this.contentLength = 0;
    this.hasContentLength = false;
    this.isChunked = false;
    this.transferEncoding = undefined;
    this.connection = undefined;
    this.upgrade = undefined;
    for (let line = 0; line < lines; line++) {
      const nameStart = nameStarts[line]!;
      const nameEnd = nameEnds[line]!;
      const id = headerId(bytes, nameStart, nameEnd, nameHashes[line]!);
      const name =
        id === HeaderId.Unknown ? recentName(bytes, nameStart, nameEnd, nameHashes[line]!) : headerNames[id]!;
      const valueStart = valueStarts[line]!;
      const valueEnd = valueEnds[line]!;
      let value =
        id === HeaderId.Host && isLastHost(bytes, valueStart, valueEnd)
          ? lastHost
          : text.substring(valueStart - start, valueEnd - start);
      if (isFolded[line] === 1) {
        this.headerBytes -= value.length;
        value = unfold(value);
        this.headerBytes += value.length;
      }
      if (options.underscores !== UnderscoreAction.Allow && name.includes('_')) {
        if (options.underscores === UnderscoreAction.DropHeader) {
          options.counts.droppedHeadersWithUnderscores.value++;
          continue;
        }
        firstError ??= errors.underscore;
      }
      if (spelling !== undefined && !spelling.names.has(name)) {
        spelling.names.set(name, text.substring(nameStart - start, nameEnd - start));
      }
      if (this.#joined[id] === 1) {
        if (id === HeaderId.TransferEncoding) this.isChunked = isChunked(value);
        if (seen[id] === stamp) {
          if (id === HeaderId.ContentLength) lengthError = errors.repeatedContentLength;
          else this.#join(id, name, value);
          continue;
        }
        seen[id] = stamp;
        if (++count > options.maxHeadersCount) firstError ??= this.#tooManyHeaders(line);
        if (id === HeaderId.Host) {
          headers.authority = lastHost = value;
          headers.isAuthorityEmpty = value === '';
          continue;
        }
        if (id === HeaderId.ContentLength) {
          this.hasContentLength = true;
          this.contentLength = parseLength(value);
          if (this.contentLength < 0 && lengthError === undefined) lengthError = errors.invalidContentLength;
        } else if (id === HeaderId.TransferEncoding) this.transferEncoding = value;
        else if (id === HeaderId.Connection) this.connection = value;
        else if (id === HeaderId.Upgrade) this.upgrade = value;
      } else if (++count > options.maxHeadersCount) firstError ??= this.#tooManyHeaders(line);
      list.push(name, value);
    }
    // Without a body, or with chunks, a broken length misleads nobody; whether it may be there is for the codec to judge.
    if (lengthError === errors.repeatedContentLength) return lengthError;
    if (lengthError !== undefined && !this.isChunked && !isBodiless(headers.status)) return lengthError;
    if (firstError === errors.underscore) options.counts.requestsRejectedWithUnderscoresInHeaders.value++;
    return firstError;
  }

  /** A further value of a header that has one entry: appended with a comma, unless there is nothing to part. */
  #join(id: number, name: string, value: string): void {
    if (value === '') return;
    const headers = this.headers;
    if (id === HeaderId.Host) {
      headers.authority = headers.isAuthorityEmpty ? value : `${headers.authority},${value}`;
      headers.isAuthorityEmpty = false;
      return;
    }
    const list = headers.list;
    const at = list.indexOf(name) + 1;
    const joined = list[at] === '' ? value : `${list[at]},${value}`;
    list[at] = joined;
    if (id === HeaderId.TransferEncoding) this.transferEncoding = joined;
    else if (id === HeaderId.Connection) this.connection = joined;
    else if (id === HeaderId.Upgrade) this.upgrade = joined;
  }

  #readBody(body: Body): void {
    switch (body) {
      case Body.None:
        this.#state = State.Complete;
        break;
      case Body.Length:
        this.#state = State.Length;
        this.#remaining = this.contentLength;
        break;
      case Body.Chunked:
        this.#state = State.ChunkSize;
        this.#remaining = 0;
        this.#sizeDigits = 0;
        break;
      case Body.UntilClose:
        this.#state = State.UntilClose;
        break;
      case Body.Raw:
        this.#state = State.Raw;
        break;
      case Body.Interim:
        this.#hasBegun = false;
        this.#hasFirstLine = false;
        break;
      case Body.Failed:
        this.#state = State.Failed;
        break;
    }
  }

  // ---- blocks that arrive in parts, and blocks that are wrong

  #incomplete(length: number, end: number): number {
    return length >= this.#options.maxHeadersBytes ? this.#refuse(errors.headersTooLarge, end) : INCOMPLETE;
  }

  /** The body in front of bad trailers is delivered; that in front of a bad chunk, as far as it came in this read, is lost. So in Envoy. */
  #refuse(error: CodecError, end: number): number {
    if (this.#heldLength > 0 && this.#state === State.Trailers) this.#releaseHeld();
    this.fail(error);
    return end;
  }

  /** The header in `line` is one too many. As in Envoy, that is noticed with the next name. */
  #tooManyHeaders(line: number): CodecError {
    const next = line + 1;
    this.headerBytes = lineBytes(next);
    if (next < lineCount) this.headerBytes += nameEnds[next]! - nameStarts[next]!;
    return errors.tooManyHeaders;
  }

  /** A line is none. That is said once the whole block is there, and after what is wrong with the block as a whole. */
  #judgeBadBlock(bytes: Buffer, start: number, end: number, column: number): number {
    const blockEnd = findBlockEnd(bytes, start, end, column);
    if (blockEnd === INCOMPLETE) return this.#incomplete(end - start, end);
    if (blockEnd - start > this.#options.maxHeadersBytes) return this.#refuse(errors.headersTooLarge, end);
    return this.#refuse(
      hasInvalidByte(bytes, start, blockEnd) ? errors.invalidCharacters : errors.codec,
      end,
    );
  }

  #keep(bytes: Buffer, from: number, end: number): void {
    const length = this.#partLength + end - from;
    if (length > this.#part.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(1024, length * 2));
      this.#part.copy(grown, 0, 0, this.#partLength);
      this.#part = grown;
    }
    bytes.copy(this.#part, this.#partLength, from, end);
    this.#partLength = length;
  }

  /** More of a block whose beginning was kept: only bytes of the block are copied to it. */
  #continueBlock(bytes: Buffer, from: number, end: number): number {
    const isHead = this.#state === State.Head;
    const blockEnd = findBlockEnd(bytes, from, end, columnAfter(this.#part, this.#partLength));
    const stop = blockEnd === INCOMPLETE ? end : blockEnd;
    this.#keep(bytes, from, stop);
    const part = this.#part;
    const length = this.#partLength;
    if (blockEnd === INCOMPLETE) {
      // The first line is judged as soon as it is there; before and after that only the size is.
      if (!isHead || this.#hasFirstLine || bytes.indexOf(LF, from) < 0) {
        this.#incomplete(length, end);
        return end;
      }
    }
    const taken = isHead ? this.#parseHead(part, 0, length) : this.#parseTrailers(part, 0, length);
    if (taken === INCOMPLETE) return end;
    this.#part = nothing;
    this.#partLength = 0;
    return stop - (length - taken);
  }

  // ---- bodies

  #readLength(bytes: Buffer, i: number, end: number): number {
    const available = end - i;
    if (available < this.#remaining) {
      this.#remaining -= available;
      this.#receiver.onBody(this.#pass(bytes, i, end), false);
      return end;
    }
    const stop = i + this.#remaining;
    this.#state = State.Complete;
    this.#receiver.onBody(this.#pass(bytes, i, stop), true);
    return stop;
  }

  #readChunkSize(bytes: Buffer, from: number, end: number): number {
    for (let i = from; i < end; i++) {
      const c = bytes[i]!;
      const digit = hexDigit[c]!;
      if (digit < 16) {
        // Leading zeros do not count towards the 64 bits a size may have.
        if (this.#remaining !== 0 || this.#sizeDigits === 0) this.#sizeDigits++;
        if (this.#sizeDigits > 16 && this.#remaining !== 0) return this.#refuse(errors.invalidChunkSize, end);
        this.#remaining = this.#remaining * 16 + digit;
        continue;
      }
      if (this.#sizeDigits === 0 || (c !== CR && c !== LF && c !== SPACE && c !== TAB && c !== SEMICOLON)) {
        return this.#refuse(errors.invalidChunkSize, end);
      }
      this.#state = State.ChunkExtension;
      this.#sawReturn = false;
      return i;
    }
    return end;
  }

  /** Up to the end of the size line; what it says is ignored, but it has to end with CRLF and hold no other CR or LF. */
  #readChunkExtension(bytes: Buffer, from: number, end: number): number {
    for (let i = from; i < end; i++) {
      const c = bytes[i]!;
      if ((c === LF) !== this.#sawReturn) return this.#refuse(errors.invalidChunkExtension, end);
      if (c === LF) {
        this.#state = this.#remaining === 0 ? State.Trailers : State.ChunkData;
        return i + 1;
      }
      this.#sawReturn = c === CR;
    }
    return end;
  }

  #readChunkData(bytes: Buffer, i: number, end: number): number {
    const available = end - i;
    const isWhole = available >= this.#remaining;
    const stop = isWhole ? i + this.#remaining : end;
    if (this.#heldLength > 0 && this.#heldLength + stop - i > MAX_JOINED) {
      this.#releaseHeld();
      if (this.hasFailed) return end;
    }
    const data = this.#pass(bytes, i, stop);
    if (this.#heldLength === 0) this.#held = data;
    else this.#more.push(data);
    this.#heldLength += data.length;
    if (isWhole) this.#state = State.ChunkEnd;
    else this.#remaining -= available;
    return stop;
  }

  /** Balsa skips whatever stands between the chunk and the end of its line. */
  #readChunkEnd(bytes: Buffer, from: number, end: number): number {
    for (let i = from; i < end; i++) {
      if (bytes[i] !== LF) continue;
      this.#state = State.ChunkSize;
      this.#remaining = 0;
      this.#sizeDigits = 0;
      return i + 1;
    }
    return end;
  }

  #readTrailers(bytes: Buffer, i: number, end: number): number {
    if (this.#partLength > 0) return this.#continueBlock(bytes, i, end);
    const next = this.#parseTrailers(bytes, i, end);
    if (next !== INCOMPLETE) return next;
    this.#keep(bytes, i, end);
    return end;
  }

  #parseTrailers(bytes: Buffer, start: number, end: number): number {
    const next = scanLines(bytes, start, end);
    if (next === INCOMPLETE) return this.#incomplete(end - start, end);
    if (next === BAD) return this.#judgeBadBlock(bytes, start, end, LINE_START);
    if (next === TOO_MANY) return this.#refuse(errors.tooManyHeaders, end);
    if (next - start > this.#options.maxHeadersBytes) return this.#refuse(errors.headersTooLarge, end);
    if (lineCount === 0 || !this.#options.enableTrailers) {
      this.#state = State.Complete;
      this.#receiver.onBody(this.#takeHeld(), true);
      return next;
    }
    const trailers = new HeaderMap();
    const text = bytes.toString('latin1', start, next);
    this.headerBytes = lineBytes(lineCount);
    for (let line = 0; line < lineCount; line++) {
      const id = headerId(bytes, nameStarts[line]!, nameEnds[line]!, nameHashes[line]!);
      const name =
        id === HeaderId.Unknown
          ? recentName(bytes, nameStarts[line]!, nameEnds[line]!, nameHashes[line]!)
          : headerNames[id]!;
      const value = text.substring(valueStarts[line]! - start, valueEnds[line]! - start);
      trailers.list.push(name, isFolded[line] === 1 ? unfold(value) : value);
    }
    if (this.#heldLength > 0) this.#releaseHeld();
    if (this.hasFailed) return end;
    if (trailers.list.length / 2 > this.#options.maxHeadersCount)
      return this.#refuse(errors.tooManyHeaders, end);
    this.#state = State.Complete;
    this.#receiver.onTrailers(trailers);
    return next;
  }

  #releaseHeld(): void {
    this.#receiver.onBody(this.#takeHeld(), false);
  }

  #takeHeld(): Buffer {
    let held = this.#held;
    const more = this.#more;
    if (more.length > 0) {
      const parts = [held, ...more];
      held = Buffer.concat(parts, this.#heldLength);
      for (let i = 0; i < parts.length; i++) finished(parts[i]!, parts[i]!.length);
    }
    this.#dropHeld();
    return held;
  }

  #pass(bytes: Buffer, start: number, end: number): Buffer {
    this.#passedOn += end - start;
    return start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end);
  }

  #dropHeld(): void {
    this.#held = nothing;
    truncate(this.#more, 0);
    this.#heldLength = 0;
  }
}

/** Chunks are copied together up to this length; longer ones are passed on as they are. */
const MAX_JOINED = 16 * 1024;
const LF = 10;
const CR = 13;
const TAB = 9;
const SPACE = 32;
const COLON = 58;
const SEMICOLON = 59;
const LETTER_H = 72;
const DELETE = 127;
const INCOMPLETE = -1;
const BAD = -2;
const TOO_MANY = -3;

/** What a parser holds between messages: never written to. */
const noHeaders = new HeaderMap();
/** Shared end-of-message slice: never written to. */
export const nothing: Buffer = Buffer.alloc(0);

// Where the lines of the block scanned last stand in its bytes: filled by `scanLines`, read before anything else is scanned. A block
// of more lines is refused whatever `max_headers_count` says.
const MAX_LINES = 8192;
const nameStarts = new Int32Array(MAX_LINES);
const nameEnds = new Int32Array(MAX_LINES);
const nameHashes = new Int32Array(MAX_LINES);
const valueStarts = new Int32Array(MAX_LINES);
const valueEnds = new Int32Array(MAX_LINES);
const isFolded = new Uint8Array(MAX_LINES);
let lineCount = 0;

/** Of the first `count` lines. Envoy counts a line even where there is none. */
function lineBytes(count: number): number {
  let bytes = Math.max(count, 1) * 3;
  for (let i = 0; i < count; i++) bytes += nameEnds[i]! - nameStarts[i]! + valueEnds[i]! - valueStarts[i]!;
  return bytes;
}

/** Number of the head in which a joined header was seen last, by id. */
const seen = new Float64Array(headerNames.length);
let messageStamp = 0;

/**
 * Scans header lines from `from` to the empty line, into the scratch arrays. Returns the index after it, INCOMPLETE, BAD when there
 * is a line that is no header, or TOO_MANY.
 */
function scanLines(bytes: Buffer, from: number, end: number): number {
  let i = from;
  let count = 0;
  for (;;) {
    if (i >= end) return INCOMPLETE;
    const c = bytes[i]!;
    if (c === LF) {
      lineCount = count;
      return i + 1;
    }
    if (c === CR) {
      if (i + 1 >= end) return INCOMPLETE;
      if (bytes[i + 1] !== LF) return BAD;
      lineCount = count;
      return i + 2;
    }
    const nameStart = i;
    let hash = 0;
    for (let folded = nameBytes[c]!; folded !== 0; folded = nameBytes[bytes[i]!]!) {
      hash = (Math.imul(hash, 31) + folded) | 0;
      if (++i >= end) return INCOMPLETE;
    }
    if (bytes[i] !== COLON || i === nameStart) return BAD;
    if (count === MAX_LINES) return TOO_MANY;
    nameStarts[count] = nameStart;
    nameEnds[count] = i++;
    nameHashes[count] = hash;
    while (i < end && (bytes[i] === SPACE || bytes[i] === TAB)) i++;
    let valueStart = i;
    let valueEnd = i;
    let folds = 0;
    for (;;) {
      let c = 0;
      for (; i < end; i++) {
        c = bytes[i]!;
        if ((c < SPACE && c !== TAB) || c === DELETE) break;
      }
      if (i >= end) return INCOMPLETE;
      if (c === CR) {
        if (i + 1 >= end) return INCOMPLETE;
        if (bytes[i + 1] !== LF) {
          // A lone CR is dropped from the value.
          folds = 1;
          i++;
          continue;
        }
        valueEnd = i;
        i += 2;
      } else if (c === LF) valueEnd = i++;
      else return BAD;
      if (i >= end) return INCOMPLETE;
      if (bytes[i] !== SPACE && bytes[i] !== TAB) break;
      // RFC 9112 5.2 obs-fold: the value goes on in this line.
      folds = 1;
    }
    while (valueEnd > valueStart && bytes[valueEnd - 1]! <= SPACE) valueEnd--;
    while (valueStart < valueEnd && bytes[valueStart]! <= SPACE) valueStart++;
    valueStarts[count] = valueStart;
    valueEnds[count] = valueEnd;
    isFolded[count] = folds;
    count++;
  }
}

// Columns of `findBlockEnd`.
const LINE_START = 0;
const AFTER_RETURN = 1;
const OTHER_COLUMN = 2;

/** The index after the empty line, when the byte before `from` stands at `column`. */
function findBlockEnd(bytes: Buffer, from: number, end: number, column: number): number {
  for (let i = from; i < end; i++) {
    const c = bytes[i]!;
    if (c === LF) {
      if (column !== OTHER_COLUMN) return i + 1;
      column = LINE_START;
    } else column = c === CR && column === LINE_START ? AFTER_RETURN : OTHER_COLUMN;
  }
  return INCOMPLETE;
}

function columnAfter(part: Buffer, length: number): number {
  const last = part[length - 1];
  if (last === LF) return LINE_START;
  return last === CR && (length === 1 || part[length - 2] === LF) ? AFTER_RETURN : OTHER_COLUMN;
}

/** The same host again is the same string, which is found to be the same at once by those who look it up. */
let lastHost = '';

function isLastHost(bytes: Buffer, start: number, end: number): boolean {
  const length = end - start;
  if (length !== lastHost.length) return false;
  for (let i = 0; i < length; i++) if (bytes[start + i] !== lastHost.charCodeAt(i)) return false;
  return true;
}

function unfold(value: string): string {
  return value.replaceAll('\r', '').replaceAll('\n', '');
}

function hasInvalidByte(bytes: Buffer, start: number, end: number): boolean {
  for (let i = start; i < end; i++) {
    const c = bytes[i]!;
    if (isValueByte[c] === 0 && c !== CR && c !== LF) return true;
  }
  return false;
}

export function isToken(bytes: Buffer, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (nameBytes[bytes[i]!] === 0) return false;
  return end > start;
}

/** RFC 9112 6.3: such responses end with their head. */
function isBodiless(status: number): boolean {
  return status === 204 || status === 304 || (status >= 100 && status < 200);
}

/** Digits whose number fits 64 bits, or -1. Beyond 2^53 the number is near enough: nobody sends that much. */
function parseLength(value: string): number {
  let length = 0;
  for (let i = 0; i < value.length; i++) {
    const digit = value.charCodeAt(i) - 48;
    if (digit < 0 || digit > 9) return -1;
    length = length * 10 + digit;
  }
  if (value === '' || (length > 18446744073709000000 && BigInt(value) >= 1n << 64n)) return -1;
  return length;
}

export function isChunked(transferEncoding: string | undefined): boolean {
  return (
    transferEncoding === 'chunked' ||
    (transferEncoding !== undefined && transferEncoding.toLowerCase() === 'chunked')
  );
}

export function isVersion11(bytes: Buffer, start: number, end: number): boolean {
  return bytes[start + 7] === 49 && bytes[start + 5] === 49 && end !== start && isVersion(bytes, start, end);
}

/** `HTTP/` digit `.` digit; or nothing at all, which is HTTP/0.9. */
export function isVersion(bytes: Buffer, start: number, end: number): boolean {
  if (end === start) return true;
  return (
    end - start === 8 &&
    bytes[start] === 72 &&
    bytes[start + 1] === 84 &&
    bytes[start + 2] === 84 &&
    bytes[start + 3] === 80 &&
    bytes[start + 4] === 47 &&
    isDigit(bytes[start + 5]!) &&
    bytes[start + 6] === 46 &&
    isDigit(bytes[start + 7]!)
  );
}

function isDigit(c: number): boolean {
  return c >= 48 && c <= 57;
}

/** Up to three digits, leading zeros aside, or -1: what Envoy makes of others (`+200`, 65736) no status line can say again. */
function statusAt(bytes: Buffer, start: number, end: number): number {
  let status = 0;
  for (let i = start; i < end; i++) {
    if (!isDigit(bytes[i]!)) return -1;
    status = status * 10 + bytes[i]! - 48;
    if (status > 999) return -1;
  }
  return start === end ? -1 : status;
}

// The methods Envoy's parser knows, by length; the common one of each length first.
const methodsByLength: readonly (readonly string[])[] = Array.from({ length: 12 }, (_, length) =>
  (
    'GET PUT ACL POST HEAD BIND COPY LINK LOCK MOVE PATCH TRACE MERGE MKCOL PURGE QUERY DELETE REBIND REPORT SEARCH SOURCE ' +
    'UNBIND UNLINK UNLOCK OPTIONS CONNECT MSEARCH CHECKOUT PROPFIND NOTIFY PROPPATCH SUBSCRIBE MKACTIVITY MKCALENDAR UNSUBSCRIBE'
  )
    .split(' ')
    .filter((method) => method.length === length),
);

function methodAt(bytes: Buffer, start: number, end: number): string | undefined {
  const length = end - start;
  if (length >= methodsByLength.length) return undefined;
  const candidates = methodsByLength[length]!;
  next: for (let n = 0; n < candidates.length; n++) {
    const method = candidates[n]!;
    for (let i = 0; i < length; i++) if (method.charCodeAt(i) !== bytes[start + i]) continue next;
    return method;
  }
  return undefined;
}

/** Origin form, asterisk form, absolute form, authority form (CONNECT), as loosely as Balsa checks them. */
export function isTarget(bytes: Buffer, start: number, end: number, isConnect: boolean): boolean {
  if (start === end) return false;
  let i = start;
  if (bytes[i] !== SLASH && bytes[i] !== ASTERISK) {
    if (!isConnect) {
      while (i < end && isAlpha(bytes[i]!)) i++;
      if (
        i === start ||
        end - i < 3 ||
        bytes[i] !== COLON ||
        bytes[i + 1] !== SLASH ||
        bytes[i + 2] !== SLASH
      )
        return false;
      i += 3;
    }
    for (; i < end && bytes[i] !== SLASH && bytes[i] !== QUESTION_MARK; i++) {
      if (isHostByte[bytes[i]!] === 0 || (bytes[i] === AT && bytes[i + 1] === AT)) return false;
    }
  }
  for (; i < end; i++) if (bytes[i]! > 126) return false;
  return true;
}

const SLASH = 47;
const ASTERISK = 42;
const QUESTION_MARK = 63;
const AT = 64;

function isAlpha(c: number): boolean {
  return (c | 32) >= 97 && (c | 32) <= 122;
}

const hexDigit = new Uint8Array(256).fill(255);
for (let digit = 0; digit < 16; digit++) {
  hexDigit[digit.toString(16).charCodeAt(0)] = digit;
  hexDigit[digit.toString(16).toUpperCase().charCodeAt(0)] = digit;
}

/** Visible bytes, space, tab and obs-text: everything that does not end a value and is allowed in one. */
const isValueByte = new Uint8Array(256).fill(1);
isValueByte.fill(0, 0, SPACE);
isValueByte[TAB] = 1;
isValueByte[127] = 0;

const isHostByte = new Uint8Array(256);
for (const c of "!$%&'()*+,-.:;=@[]_~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
  isHostByte[c.charCodeAt(0)] = 1;
