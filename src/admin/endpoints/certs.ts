import type { AdminEndpoint } from '../endpoint.ts';
import { messagePage } from '../json-page.ts';
import type { CertificateDetails, CertificatesOwner } from '../owners.ts';

const dayMs = 86_400_000;

/** `nowMs`: the wall clock. */
export function certsEndpoint(owner: CertificatesOwner, nowMs: () => number): AdminEndpoint {
  return {
    path: '/certs',
    help: 'print certs on machine',
    mutates: false,
    handle: () =>
      messagePage(
        'envoy.admin.v3.Certificates',
        {
          certificates: owner.certificates().map(({ caCertificates, certificateChain }) => ({
            ca_cert: caCertificates.map((it) => details(it, nowMs())),
            cert_chain: certificateChain.map((it) => details(it, nowMs())),
          })),
        },
        { defaults: true },
      ),
  };
}

function details(certificate: CertificateDetails, nowMs: number) {
  const { path, serialNumber, subjectAltNames, validFromMs, expirationMs } = certificate;
  return {
    path,
    serial_number: serialNumber,
    subject_alt_names: subjectAltNames.map(({ kind, value }) => ({ [kind]: value })),
    days_until_expiration: BigInt(Math.max(Math.floor((expirationMs - nowMs) / dayMs), 0)),
    valid_from: timestamp(validFromMs),
    expiration_time: timestamp(expirationMs),
  };
}

function timestamp(ms: number) {
  return { seconds: Math.floor(ms / 1000), nanos: (ms % 1000) * 1_000_000 };
}
