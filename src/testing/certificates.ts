// The certificates of `certificates/make.sh`, by name: a CA, servers and clients of every kind.
import { fileURLToPath } from 'node:url';

/** `certificatePath('client')`, `certificatePath('client-key')`, `certificatePath('ca-crl')`. */
export function certificatePath(name: string): string {
  const file = name.includes('.') ? name : `${name}.pem`;
  return fileURLToPath(new URL(`certificates/${file}`, import.meta.url));
}

/** A `TlsCertificate` message of files. */
export function certificateFiles(name: string): {
  readonly certificate_chain: { readonly filename: string };
  readonly private_key: { readonly filename: string };
} {
  return {
    certificate_chain: { filename: certificatePath(name) },
    private_key: { filename: certificatePath(`${name}-key`) },
  };
}
