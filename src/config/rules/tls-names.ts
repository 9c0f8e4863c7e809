// Names of ciphers, groups and signature algorithms that BoringSSL takes, asked of Envoy 1.40 one by one.

const ciphers = new Set(
  `ECDHE-ECDSA-AES128-GCM-SHA256 ECDHE-RSA-AES128-GCM-SHA256 ECDHE-ECDSA-AES256-GCM-SHA384 ECDHE-RSA-AES256-GCM-SHA384
  ECDHE-ECDSA-CHACHA20-POLY1305 ECDHE-RSA-CHACHA20-POLY1305 ECDHE-PSK-CHACHA20-POLY1305 ECDHE-ECDSA-AES128-SHA
  ECDHE-RSA-AES128-SHA ECDHE-PSK-AES128-CBC-SHA ECDHE-ECDSA-AES256-SHA ECDHE-RSA-AES256-SHA ECDHE-PSK-AES256-CBC-SHA
  ECDHE-RSA-AES128-SHA256 ECDHE-ECDSA-AES128-SHA256 AES128-GCM-SHA256 AES256-GCM-SHA384 AES128-SHA AES256-SHA
  PSK-AES128-CBC-SHA PSK-AES256-CBC-SHA DES-CBC3-SHA ALL HIGH FIPS SSLv3 TLSv1 TLSv1.2 kRSA aRSA kECDHE ECDHE EECDH
  ECDSA RSA PSK kPSK aPSK AES AES128 AES256 AESGCM CHACHA20 SHA SHA1 DEFAULT 3DES aECDSA kEECDH`.split(/\s+/),
);
const groups = [
  'X25519',
  'P-256',
  'P-384',
  'P-521',
  'X25519MLKEM768',
  'prime256v1',
  'secp384r1',
  'secp521r1',
  'x25519',
];

/** Operators and TLS_ names are not looked into. */
export function isCipher(name: string): boolean {
  if (name === '') return true;
  if (/^TLS_[A-Z]+_(?:[A-Z]+_)?WITH_/.test(name)) return true;
  const alternatives = name.startsWith('[') && name.endsWith(']') ? name.slice(1, -1).split('|') : [name];
  return alternatives.every((it) => it.split('+').every((part) => ciphers.has(part)));
}

export function isGroup(names: string): boolean {
  return names.split(':').every((it) => groups.includes(it));
}

export const cipherNames: Iterable<string> = ciphers;
export const groupNames: readonly string[] = groups;
