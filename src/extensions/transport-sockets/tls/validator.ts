// Is the peer who it should be? Runs on what OpenSSL found about the chain, in a handshake or at its end.
import { createHash, X509Certificate } from 'node:crypto';
import { compileStringMatcher } from '#extension/matchers/compile.ts';
import type { StringMatcher } from '#extension/matchers/string-matcher.ts';
import type { SanMatcherData, ValidationData } from '#extension/secrets/secret-data.ts';
import { objectIdentifier } from '#net/der.ts';
import { ChainError, type PeerChain } from '#net/handshake-verdict.ts';
import { CertificateFacts, keyUsage, otherNames, pemCertificates } from '#net/tls-certificate.ts';
import type { SslStats } from './stats.ts';

/** `reason` is empty for a peer that may pass; `validated` is what `%DOWNSTREAM_PEER_...%` and route matches ask for. */
export interface Verdict {
  readonly reason: string;
  readonly validated: boolean;
  /** What the peer is told is made of this. */
  readonly error: number;
}

const accepted: Verdict = { reason: '', validated: true, error: ChainError.None };
/** Nothing was asked for, or the peer showed nothing. */
export const unchecked: Verdict = { reason: '', validated: false, error: ChainError.None };

interface SanMatcher {
  readonly type: SanMatcherData['type'];
  /** Set for an exact DNS name: a wildcard of the certificate covers it. */
  readonly dnsName: string;
  /** Of `other`, in DER. */
  readonly oid: Buffer;
  readonly matcher: StringMatcher;
}

export class PeerValidator {
  readonly #data: ValidationData;
  readonly #sans: readonly SanMatcher[];
  readonly roots: readonly X509Certificate[];
  readonly #trustDomains: ReadonlyMap<string, readonly X509Certificate[]> | undefined;

  constructor(data: ValidationData) {
    this.#data = data;
    this.#sans = data.sans.map(({ type, oid, matcher }) => ({
      type,
      dnsName: type === 'dns' && matcher.kind === 'exact' ? matcher.value.toLowerCase() : '',
      oid: objectIdentifier(oid) ?? Buffer.alloc(0),
      matcher: compileStringMatcher(matcher),
    }));
    this.roots = certificatesOf(data.trustedCa);
    this.#trustDomains =
      data.spiffe && new Map(data.spiffe.map(({ name, bundle }) => [name, certificatesOf(bundle)]));
  }

  /** Whether a server asks its clients for a certificate because of this. */
  get asksForCertificate(): boolean {
    return this.#data.trustedCa !== '' || this.#data.acceptUntrusted || this.#picksCertificates;
  }

  /** A certificate that must have some name or digest must be there, except where anyone is taken. */
  get demandsCertificate(): boolean {
    return this.#picksCertificates && !this.#data.acceptUntrusted;
  }

  get #picksCertificates(): boolean {
    const { hashes, spkis, sans, spiffe } = this.#data;
    return hashes.length > 0 || spkis.length > 0 || sans.length > 0 || spiffe !== undefined;
  }

  /**
   * `sni`: a DNS name that the certificate must have besides (`auto_sni_san_validation`), empty for none. `names`: one of these,
   * as DNS name, URI or address.
   */
  validate(chain: PeerChain, sni: string, names: readonly string[], stats: SslStats): Verdict {
    const data = this.#data;
    const peer = chain.certificates[0]!;
    const isAnyoneTaken = data.acceptUntrusted;
    const domains = this.#trustDomains;
    if (domains !== undefined) {
      const problem = spiffeProblem(chain, domains);
      if (problem !== '') {
        stats.failVerifyError.value++;
        return refused(`verify cert failed: ${problem}`);
      }
    } else if (data.trustedCa !== '') {
      const problem = this.#chainProblem(chain);
      if (problem !== '') {
        stats.failVerifyError.value++;
        if (isAnyoneTaken) return unchecked;
        const reason = `verify cert failed: X509_verify_cert: certificate verification error at depth 0: ${problem}`;
        return { reason, validated: false, error: chain.error || ChainError.TooLong };
      }
    }
    const facts = new CertificateFacts(peer);
    if (this.#sans.length > 0 && !this.#sans.some((it) => matches(it, facts))) {
      stats.failVerifySan.value++;
      const own = facts.allSans.join(', ');
      return isAnyoneTaken
        ? unchecked
        : refused(`verify cert failed: SAN matcher, certificate SANs are [${own}]`);
    }
    if (names.length > 0 && !names.some((it) => hasName(facts, it))) {
      stats.failVerifySan.value++;
      const own = facts.allSans.join(', ');
      return isAnyoneTaken
        ? unchecked
        : refused(
            `verify cert failed: verify SAN list, expected SANs: [${names.join(', ')}], certificate SANs: [${own}]`,
          );
    }
    if (sni !== '' && !facts.dnsSans.some((it) => isNameCovered(it, sni))) {
      stats.failVerifySan.value++;
      const own = facts.allSans.join(', ');
      return isAnyoneTaken
        ? unchecked
        : refused(`verify cert failed: SAN matcher, certificate SANs are [${own}]`);
    }
    const { hashes, spkis } = data;
    if (hashes.length + spkis.length > 0) {
      const isPinned =
        (hashes.length > 0 && hashes.includes(facts.sha256)) ||
        (spkis.length > 0 && spkis.includes(publicKeyHash(peer)));
      if (!isPinned) {
        stats.failVerifyCertHash.value++;
        return isAnyoneTaken ? unchecked : refused('verify cert failed: cert hash and spki');
      }
    }
    return this.asksForCertificate || names.length > 0 || sni !== '' ? accepted : unchecked;
  }

  #chainProblem({ certificates, code }: PeerChain): string {
    const { allowExpired, crl, maxDepth } = this.#data;
    if (code === 'CERT_HAS_EXPIRED' && allowExpired && crl === '') {
      // OpenSSL tells the last of several problems: the signatures are looked at here. Revocation it does not tell then.
      return depthOf(certificates, this.roots) >= 0 ? '' : 'unable to get local issuer certificate';
    }
    if (code !== '') return problems[code] ?? code.toLowerCase().replaceAll('_', ' ');
    // BoringSSL counts the root, too, but not where it signed the leaf itself.
    if (maxDepth >= 0 && depthOf(certificates, this.roots) + 1 > Math.max(maxDepth, 1))
      return 'certificate chain too long';
    return '';
  }
}

function refused(reason: string): Verdict {
  return { reason, validated: false, error: ChainError.Other };
}

/** In OpenSSL's words. */
const problems: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'certificate has expired',
  CERT_NOT_YET_VALID: 'certificate is not yet valid',
  CERT_REVOKED: 'certificate revoked',
  CERT_SIGNATURE_FAILURE: 'certificate signature failure',
  CRL_HAS_EXPIRED: 'CRL has expired',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'self signed certificate',
  INVALID_CA: 'invalid CA certificate',
  INVALID_PURPOSE: 'unsupported certificate purpose',
  SELF_SIGNED_CERT_IN_CHAIN: 'self signed certificate in certificate chain',
  UNABLE_TO_GET_CRL: 'unable to get certificate CRL',
  UNABLE_TO_GET_ISSUER_CERT: 'unable to get issuer certificate',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'unable to get local issuer certificate',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'unable to verify the first certificate',
};

function certificatesOf(pem: string): readonly X509Certificate[] {
  return pemCertificates(pem).map((it) => new X509Certificate(it));
}

function matches({ type, dnsName, oid, matcher }: SanMatcher, facts: CertificateFacts): boolean {
  if (type === 'other') return otherNames(facts.x509, oid).some((it) => matcher.matches(it));
  const { dnsSans, uriSans, ipSans, emailSans, allSans } = facts;
  if (type === 'dns')
    return dnsName === ''
      ? dnsSans.some((it) => matcher.matches(it))
      : dnsSans.some((it) => isNameCovered(it, dnsName));
  const names = type === 'uri' ? uriSans : type === 'ip' ? ipSans : type === 'email' ? emailSans : allSans;
  return names.some((it) => matcher.matches(it));
}

function hasName({ dnsSans, uriSans, ipSans }: CertificateFacts, name: string): boolean {
  return dnsSans.some((it) => isNameCovered(it, name)) || uriSans.includes(name) || ipSans.includes(name);
}

/** RFC 6125 6.4.3, with a wildcard as the whole of the first label or a part of it. */
export function isNameCovered(pattern: string, name: string): boolean {
  const wanted = name.toLowerCase();
  const given = pattern.toLowerCase();
  if (given === wanted) return true;
  const star = given.indexOf('*');
  const givenDot = given.indexOf('.');
  const dot = wanted.indexOf('.');
  if (star < 0 || star > givenDot || dot < 0 || given.includes('*', star + 1)) return false;
  if (given.slice(givenDot) !== wanted.slice(dot) || given.startsWith('xn--')) return false;
  const label = wanted.slice(0, dot);
  const before = given.slice(0, star);
  const after = given.slice(star + 1, givenDot);
  return label.length >= before.length + after.length && label.startsWith(before) && label.endsWith(after);
}

function publicKeyHash(x509: X509Certificate): string {
  const der = x509.publicKey.export({ type: 'spki', format: 'der' });
  return createHash('sha256').update(der).digest('base64');
}

function isSignedBy(subject: X509Certificate, issuer: X509Certificate): boolean {
  return issuer.ca && subject.checkIssued(issuer) && subject.verify(issuer.publicKey);
}

/** How many certificates are between the leaf and the root that vouches for it, by signatures and the CA bit, not by dates; negative when none does. */
function depthOf(sent: readonly X509Certificate[], roots: readonly X509Certificate[]): number {
  let it: X509Certificate | undefined = sent[0];
  for (let count = 0; it !== undefined && count < sent.length; count++) {
    const subject: X509Certificate = it;
    if (roots.some((root) => subject.raw.equals(root.raw))) return Math.max(count - 1, 0);
    if (roots.some((root) => isSignedBy(subject, root))) return count;
    it = sent.find((other) => other !== subject && isSignedBy(subject, other));
  }
  return -1;
}

/** SPIFFE X.509-SVID: a leaf that may not sign others, one URI name, signed by a bundle of its trust domain. */
function spiffeProblem(
  { certificates }: PeerChain,
  domains: ReadonlyMap<string, readonly X509Certificate[]>,
): string {
  const peer = certificates[0]!;
  const usage = keyUsage(peer);
  if (peer.ca || usage === undefined || (usage & signsOthers) !== 0) return 'cert precheck';
  const { uriSans } = new CertificateFacts(peer);
  const domain = uriSans.length === 1 ? /^spiffe:\/\/([^/]+)/.exec(uriSans[0]!)?.[1] : undefined;
  const bundle = domain === undefined ? undefined : domains.get(domain);
  if (bundle === undefined) return 'no trust bundle store';
  return isInForce(peer) && depthOf(certificates, bundle) >= 0 ? '' : 'X509_verify_cert failed';
}

/** keyCertSign and cRLSign of RFC 5280 4.2.1.3. */
const signsOthers = 0x04 | 0x02;

function isInForce(x509: X509Certificate): boolean {
  const now = Date.now();
  return x509.validFromDate.getTime() <= now && now <= x509.validToDate.getTime();
}
