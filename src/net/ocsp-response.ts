// What a server has to know of an OCSP response (RFC 6960 4.2.1) before it staples it: whose it is, and until when it holds. Whether it
// is signed well, clients find out.
import { contextTag, type DerElement, DerTag, derElements, generalizedTimeMs } from './der.ts';

export interface OcspResponse {
  /** Of the certificate, lower-case hexadecimal without leading zeros. */
  readonly serial: string;
  readonly thisUpdateMs: number;
  /** Undefined counts as expired. */
  readonly nextUpdateMs: number | undefined;
}

const malformed = 'OCSP Response is not a well-formed ASN.1 SEQUENCE';
const basicResponse = '2b0601050507300101';

/** Throws an Error in Envoy's words when there is no such response in `der`. */
export function parseOcspResponse(der: Buffer): OcspResponse {
  let parts: DerElement[];
  try {
    parts = derElements(der);
  } catch {
    parts = [];
  }
  const [response, more] = parts;
  // So says Envoy whenever something is left, of other data all.
  if (more !== undefined || (response?.tag !== DerTag.Sequence && der.length > 0))
    throw new Error('Data contained more than a single OCSP response');
  if (response === undefined) throw new Error(malformed);
  try {
    return parseBody(response.content);
  } catch (error) {
    if (!(error instanceof RangeError) && !(error instanceof TypeError)) throw error;
    throw new Error(malformed, { cause: error });
  }
}

function parseBody(content: Buffer): OcspResponse {
  const [status, explicit] = derElements(content);
  if (status?.tag !== DerTag.Enumerated)
    throw new Error('OCSP ResponseStatus is not a well-formed ASN.1 ENUMERATED');
  if (status.content[0] !== 0) throw new Error('OCSP response was unsuccessful');
  if (explicit?.tag !== contextTag(0)) throw new Error('OCSP response has no body');
  const [type, bytes] = derElements(derElements(explicit.content)[0]!.content);
  if (type!.content.toString('hex') !== basicResponse)
    throw new Error(`Unknown OCSP Response type with OID: ${type!.content.toString('hex')}`);
  const [basic] = derElements(bytes!.content);
  const [data] = derElements(basic!.content);
  // version [0]?, responderID [1] or [2], producedAt, responses, extensions [1]?
  const responses = derElements(data!.content).find((it) => it.tag === DerTag.Sequence);
  const singles = derElements(responses!.content);
  if (singles.length !== 1) throw new Error('OCSP Response must be for one certificate only');
  const [certificate, , thisUpdate, next] = derElements(singles[0]!.content);
  const serial = derElements(certificate!.content)[3]!;
  const nextUpdate = next?.tag === contextTag(0) ? derElements(next.content)[0] : undefined;
  return {
    serial: serial.content.toString('hex').replace(/^0+(?=.)/, ''),
    thisUpdateMs: generalizedTimeMs(thisUpdate!.content.toString('latin1')),
    nextUpdateMs: nextUpdate && generalizedTimeMs(nextUpdate.content.toString('latin1')),
  };
}
