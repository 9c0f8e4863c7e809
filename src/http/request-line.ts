// The first line of a request for those who only want to know whether it is HTTP/1: the listener filter http_inspector. The verdicts
// are those of the codec.
import { isTarget, isToken, isVersion, isVersion11 } from './h1-parser.ts';

export const RequestLine = { Incomplete: 0, Invalid: 1, Http10: 2, Http11: 3 } as const;
export type RequestLine = (typeof RequestLine)[keyof typeof RequestLine];

const SPACE = 0x20;
const CR = 0x0d;
const LF = 0x0a;

/** Any token is a method. Whatever is not HTTP/1.1 counts as HTTP/1.0, a line without a version too. */
export function readRequestLine(bytes: Buffer): RequestLine {
  if (bytes[0] === CR || bytes[0] === LF) return RequestLine.Invalid;
  const end = bytes.indexOf(LF);
  if (end < 0) return couldBegin(bytes) ? RequestLine.Incomplete : RequestLine.Invalid;
  let at = 0;
  const wordEnd = () => {
    while (at < end && bytes[at]! > SPACE) at++;
    return at;
  };
  const wordStart = () => {
    while (at < end && bytes[at]! <= SPACE) at++;
    return at;
  };
  const methodEnd = wordEnd();
  const target = wordStart();
  const targetEnd = wordEnd();
  const version = wordStart();
  let versionEnd = Math.max(end, version);
  while (versionEnd > version && bytes[versionEnd - 1]! <= SPACE) versionEnd--;
  const isConnect = bytes.toString('latin1', 0, methodEnd) === 'CONNECT';
  if (!isToken(bytes, 0, methodEnd) || !isTarget(bytes, target, targetEnd, isConnect))
    return RequestLine.Invalid;
  // A line without a version is asked how it ends, as in the codec.
  const isHttp11 =
    version === versionEnd
      ? (bytes[targetEnd] === LF || bytes[targetEnd] === CR) && isVersion11(bytes, targetEnd - 8, targetEnd)
      : isVersion11(bytes, version, versionEnd);
  if (isHttp11) return RequestLine.Http11;
  return isVersion(bytes, version, versionEnd) ? RequestLine.Http10 : RequestLine.Invalid;
}

/** What there is of a method is a token. Envoy looks no further than this. */
const mostOfMethod = 32;

function couldBegin(bytes: Buffer): boolean {
  const most = Math.min(bytes.length, mostOfMethod);
  let end = 0;
  while (end < most && !isSpace(bytes[end]!)) end++;
  return isToken(bytes, 0, end);
}

/** HT, LF, VT, FF, CR, SP */
function isSpace(byte: number): boolean {
  return byte === SPACE || (byte >= 0x09 && byte <= 0x0d);
}
