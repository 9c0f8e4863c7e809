// What BoringSSL would agree on with a client, where OpenSSL has to be led to it or cannot tell afterwards.
import type { X509Certificate } from 'node:crypto';
import { type ClientHello, Extension } from '#net/client-hello.ts';
import type { DownstreamTlsConfig, TlsConfig } from './config.ts';
import { curveOf } from './secure-context.ts';

const tls13 = 0x0304;
const tls12 = 0x0303;
/** X25519MLKEM768, which is for TLS 1.3 only. */
const mlkem = 0x11ec;

/** IANA's numbers of the suites before TLS 1.3 that BoringSSL knows, by OpenSSL's names. */
const suiteIds: Readonly<Record<string, number>> = {
  'AES128-SHA': 0x002f,
  'AES256-SHA': 0x0035,
  'AES128-GCM-SHA256': 0x009c,
  'AES256-GCM-SHA384': 0x009d,
  'ECDHE-ECDSA-AES128-SHA': 0xc009,
  'ECDHE-ECDSA-AES256-SHA': 0xc00a,
  'ECDHE-RSA-AES128-SHA': 0xc013,
  'ECDHE-RSA-AES256-SHA': 0xc014,
  'ECDHE-ECDSA-AES128-SHA256': 0xc023,
  'ECDHE-RSA-AES128-SHA256': 0xc027,
  'ECDHE-ECDSA-AES128-GCM-SHA256': 0xc02b,
  'ECDHE-ECDSA-AES256-GCM-SHA384': 0xc02c,
  'ECDHE-RSA-AES128-GCM-SHA256': 0xc02f,
  'ECDHE-RSA-AES256-GCM-SHA384': 0xc030,
  'ECDHE-RSA-CHACHA20-POLY1305': 0xcca8,
  'ECDHE-ECDSA-CHACHA20-POLY1305': 0xcca9,
};

/** BoringSSL's name of each comes first. */
const groupNames: readonly { readonly id: number; readonly names: readonly string[] }[] = [
  { id: 23, names: ['P-256', 'prime256v1'] },
  { id: 24, names: ['P-384', 'secp384r1'] },
  { id: 25, names: ['P-521', 'secp521r1'] },
  { id: 29, names: ['X25519', 'x25519'] },
  { id: mlkem, names: ['X25519MLKEM768'] },
];

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
    .some((it) => it.startsWith('ECDHE-ECDSA-') && ciphers.includes(suiteIds[it]!) && isFor(it, hello));
  return takesEcdsa ? ecdsaCurves.filter((it) => groups.includes(it.group)).map((it) => it.name) : [];
}

/**
 * The suite to put in front for a client of TLS 1.2: within a group of equal preference, `[A|B]`, the first one that the client names.
 * Empty where the server's order will do.
 */
export function preferredSuite(config: DownstreamTlsConfig, hello: ClientHello, isEcdsa: boolean): string {
  if (!config.suites.some((it) => it.length > 1)) return '';
  const usable = (it: string) => it.includes('ECDSA') === isEcdsa && isFor(it, hello);
  for (const equals of config.suites) {
    // A word for several, `ECDHE+AES`: OpenSSL knows what it stands for.
    if (equals.some((it) => !(it in suiteIds))) return '';
    const offered = equals.filter((it) => usable(it) && hello.ciphers.includes(suiteIds[it]!));
    if (offered.length === 0) continue;
    const place = (it: string) => hello.ciphers.indexOf(suiteIds[it]!);
    const first = offered.reduce((a, b) => (place(a) <= place(b) ? a : b));
    return first === offered[0] ? '' : first;
  }
  return '';
}

/** The group of the key exchange, if one takes place: OpenSSL tells it to clients only. Empty: they have none in common. */
export function agreedGroup(config: DownstreamTlsConfig, hello: ClientHello): string {
  const isTls13 = agreesOnTls13(config, hello);
  const own = config.groups.flatMap((name) => groupNames.find((it) => it.names.includes(name)) ?? []);
  const shared = own.filter(({ id }) => hello.groups.includes(id) && (isTls13 || id !== mlkem));
  const place = ({ id }: { readonly id: number }) => hello.groups.indexOf(id);
  const agreed = config.prefersClientCiphers ? shared.toSorted((a, b) => place(a) - place(b)) : shared;
  return agreed[0]?.names[0] ?? '';
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
