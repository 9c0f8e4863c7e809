// Names of groups and signature algorithms that BoringSSL takes, asked of Envoy 1.40 one by one.

/** By the number that IANA gave them. */
const groups: Readonly<Record<string, number>> = {
  X25519: 29,
  'P-256': 23,
  'P-384': 24,
  'P-521': 25,
  X25519MLKEM768: 0x11ec,
  prime256v1: 23,
  secp384r1: 24,
  secp521r1: 25,
  x25519: 29,
};

export function isGroup(names: string): boolean {
  return names.split(':').every((it) => Object.hasOwn(groups, it));
}

export function groupId(name: string): number | undefined {
  return groups[name];
}

export function isSignature(name: string): boolean {
  return (
    /^(?:rsa_pss_rsae_sha(?:256|384|512)|rsa_pkcs1_(?:md5_sha1|sha1|sha256|sha384|sha512|sha256_legacy)|ed25519)$/.test(
      name,
    ) ||
    /^ecdsa_(?:sha1|secp256r1_sha256|secp384r1_sha384|secp521r1_sha512)$/.test(name) ||
    /^(?:RSA|RSA-PSS|PSS)\+SHA(?:256|384|512)$|^(?:RSA|ECDSA)\+SHA1$|^ECDSA\+SHA(?:256|384|512)$/.test(name)
  );
}

export const groupNames: readonly string[] = Object.keys(groups);
