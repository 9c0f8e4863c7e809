// What BoringSSL would agree on with a client, where OpenSSL has to be led to it or cannot tell afterwards.
import type { X509Certificate } from 'node:crypto';
import { cipherSuiteIds } from '#net/cipher-suites.ts';
import { type ClientHello, Extension } from '#net/client-hello.ts';
import type { DownstreamTlsConfig, TlsConfig } from './config.ts';
import { curveOf } from './secure-context.ts';

const tls13 = 0x0304;
const tls12 = 0x0303;
/** X25519MLKEM768, which is for TLS 1.3 only. */
const mlkem = 0x11ec;

/** By all their names; `name` is BoringSSL's. */
const groupByName: ReadonlyMap<string, { readonly id: number; readonly name: string }> = new Map([
  ['P-256', { id: 23, name: 'P-256' }],
  ['prime256v1', { id: 23, name: 'P-256' }],
  ['P-384', { id: 24, name: 'P-384' }],
  ['secp384r1', { id: 24, name: 'P-384' }],
  ['P-521', { id: 25, name: 'P-521' }],
  ['secp521r1', { id: 25, name: 'P-521' }],
  ['X25519', { id: 29, name: 'X25519' }],
  ['x25519', { id: 29, name: 'X25519' }],
  ['X25519MLKEM768', { id: mlkem, name: 'X25519MLKEM768' }],
]);

/** BoringSSL's name of a group, by one of OpenSSL's. */
export function groupName(name: string): string {
  return groupByName.get(name)?.name ?? name;
}

/** ECDSA over the curve: its signature algorithm in TLS 1.3, the group of the curve before, OpenSSL's name. */
const ecdsaCurves = [
  { signature: 0x0403, group: 23, name: 'prime256v1', algorithm: 'ecdsa_secp256r1_sha256' },
  { signature: 0x0503, group: 24, name: 'secp384r1', algorithm: 'ecdsa_secp384r1_sha384' },
  { signature: 0x0603, group: 25, name: 'secp521r1', algorithm: 'ecdsa_secp521r1_sha512' },
];

export function agreesOnTls13(config: DownstreamTlsConfig, hello: ClientHello): boolean {
  return config.maxVersion === 'TLSv1.3' && hello.versions.includes(tls13);
}

/** Curves of certificates that the client takes; none: it wants RSA. */
export function takenCurves(config: DownstreamTlsConfig, hello: ClientHello): readonly string[] {
  const { extensions, ciphers, signatures, groups } = hello;
  if (config.maxVersion === 'TLSv1.3' && extensions.includes(Extension.SupportedVersions))
    return ecdsaCurves.filter((it) => signatures.includes(it.signature)).map((it) => it.name);
  const takesEcdsa = config.suites
    .flat()
    .some((it) => it.startsWith('ECDHE-ECDSA-') && ciphers.includes(cipherSuiteIds[it]!) && isFor(it, hello));
  return takesEcdsa ? ecdsaCurves.filter((it) => groups.includes(it.group)).map((it) => it.name) : [];
}

/**
 * The suite to put in front for a client of TLS 1.2: within a group of equal preference, `[A|B]`, the first one that the client names.
 * Empty where the server's order will do.
 */
export function preferredSuite(config: DownstreamTlsConfig, hello: ClientHello, isEcdsa: boolean): string {
  if (!config.suites.some((it) => it.length > 1)) return '';
  const suite = agreedSuite(config, hello, isEcdsa);
  const equals = config.suites.find((it) => it.includes(suite));
  return equals?.find((it) => isOffered(it, hello, isEcdsa)) === suite ? '' : suite;
}

/** Before TLS 1.3. Empty: there is none, or OpenSSL knows better. */
function agreedSuite(config: DownstreamTlsConfig, hello: ClientHello, isEcdsa: boolean): string {
  const entries = config.prefersClientCiphers ? [config.suites.flat()] : config.suites;
  for (const equals of entries) {
    // A word for several, `ECDHE+AES`.
    if (equals.some((it) => !(it in cipherSuiteIds))) return '';
    const place = (it: string) => hello.ciphers.indexOf(cipherSuiteIds[it]!);
    const offered = equals.filter((it) => isOffered(it, hello, isEcdsa));
    if (offered.length > 0) return offered.reduce((a, b) => (place(a) <= place(b) ? a : b));
  }
  return '';
}

function isOffered(suite: string, hello: ClientHello, isEcdsa: boolean): boolean {
  return (
    suite.includes('ECDSA') === isEcdsa &&
    isFor(suite, hello) &&
    hello.ciphers.includes(cipherSuiteIds[suite]!)
  );
}

/** What a handshake is about, as far as it has come. */
export interface Agreement {
  readonly version: string;
  /** Empty, as is the group: not agreed on. */
  readonly cipher: string;
  readonly group: string;
}

/** Before the ClientHello was answered. BoringSSL says so. */
export const noAgreement: Agreement = { version: 'TLSv1.2', cipher: '', group: '' };

/** What the server has answered to the ClientHello, if it has. */
export function agreementOn(config: DownstreamTlsConfig, hello: ClientHello, isEcdsa: boolean): Agreement {
  if (agreesOnTls13(config, hello)) {
    const id = hello.ciphers.find((it) => config.tls13Suites.some((name) => cipherSuiteIds[name] === it));
    const cipher = config.tls13Suites.find((name) => cipherSuiteIds[name] === id) ?? '';
    return { version: 'TLSv1.3', cipher, group: agreedGroup(config, hello) };
  }
  const cipher = agreedSuite(config, hello, isEcdsa);
  if (cipher === '') return noAgreement;
  const version = olderVersions.findLast(
    (it) => it.id <= hello.legacyVersion && it.name <= config.maxVersion,
  );
  const group = cipher.startsWith('ECDHE-') ? agreedGroup(config, hello) : '';
  return { version: version?.name ?? noAgreement.version, cipher, group };
}

const olderVersions = [
  { id: 0x0301, name: 'TLSv1' },
  { id: 0x0302, name: 'TLSv1.1' },
  { id: tls12, name: 'TLSv1.2' },
];

/** The group of the key exchange, if one takes place: OpenSSL tells it to clients only. Empty: they have none in common. */
export function agreedGroup(config: DownstreamTlsConfig, hello: ClientHello): string {
  const isTls13 = agreesOnTls13(config, hello);
  let agreed = '';
  let agreedPlace = -1;
  for (const name of config.groups) {
    const group = groupByName.get(name);
    if (group === undefined || (group.id === mlkem && !isTls13)) continue;
    const place = hello.groups.indexOf(group.id);
    if (place < 0 || (agreed !== '' && place > agreedPlace)) continue;
    if (!config.prefersClientCiphers) return group.name;
    agreed = group.name;
    agreedPlace = place;
  }
  return agreed;
}

/** Authenticated encryption came with TLS 1.2. */
function isFor(suite: string, { legacyVersion }: ClientHello): boolean {
  return legacyVersion >= tls12 || /-SHA$/.test(suite);
}

/**
 * The algorithm that the peer has signed with, if it has: the first of ours that suits its key, which is what peers take. OpenSSL does
 * not tell. Empty: none.
 */
export function peerSignature(config: TlsConfig, version: string, peer: X509Certificate): string {
  const curve = curveOf(peer);
  const isTls13 = version === 'TLSv1.3';
  if (!isTls13 && version !== 'TLSv1.2') return '';
  const own = ecdsaCurves.find((it) => it.name === curve)?.algorithm;
  const suits = (it: string) =>
    curve === ''
      ? it.startsWith('rsa_pss_') || (!isTls13 && it.startsWith('rsa_'))
      : isTls13
        ? it === own
        : it.startsWith('ecdsa_');
  return config.signatureAlgorithms.find(suits) ?? '';
}
