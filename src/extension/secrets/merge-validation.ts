// A validation context from a secret over the default one of the configuration.
import type { ValidationData } from './secret-data.ts';

/** A dynamic context over the default one: what it sets replaces, lists are joined, as protobuf merges. */
export function mergeValidation(base: ValidationData, over: ValidationData): ValidationData {
  return {
    name: over.name,
    trustedCa: over.trustedCa === '' ? base.trustedCa : over.trustedCa,
    crl: over.crl === '' ? base.crl : over.crl,
    sans: [...base.sans, ...over.sans],
    hashes: [...base.hashes, ...over.hashes],
    spkis: [...base.spkis, ...over.spkis],
    allowExpired: base.allowExpired || over.allowExpired,
    onlyLeafCrl: base.onlyLeafCrl || over.onlyLeafCrl,
    acceptUntrusted: base.acceptUntrusted || over.acceptUntrusted,
    hidesCaNames: base.hidesCaNames || over.hidesCaNames,
    maxDepth: over.maxDepth >= 0 ? over.maxDepth : base.maxDepth,
    spiffe: over.spiffe ?? base.spiffe,
  };
}
