// x-forwarded-client-cert: passed on, thrown away or written, as `forward_client_cert_details` says.
import type { TlsInfo } from '#extension/stream-info.ts';
import type { HeaderMap } from '#http/header-map.ts';
import { type ConnectionManagerConfig, ForwardClientCert } from './manager-config.ts';

export function setForwardedClientCert(
  headers: HeaderMap,
  config: ConnectionManagerConfig,
  tls: TlsInfo | undefined,
): void {
  const mode = config.forwardClientCert;
  if (mode === ForwardClientCert.AlwaysForwardOnly) return;
  if (mode === ForwardClientCert.Sanitize || tls === undefined || !tls.peerPresented) {
    headers.remove('x-forwarded-client-cert');
    return;
  }
  if (mode === ForwardClientCert.ForwardOnly) return;
  const value = describe(config, tls);
  if (mode === ForwardClientCert.SanitizeSet) {
    headers.set('x-forwarded-client-cert', value);
    return;
  }
  const before = headers.joined('x-forwarded-client-cert');
  headers.set('x-forwarded-client-cert', before === undefined ? value : `${before},${value}`);
}

function describe(config: ConnectionManagerConfig, tls: TlsInfo): string {
  const wanted = config.setCurrentClientCertDetails;
  const parts: string[] = [];
  const local = tls.localCertificate();
  const peer = tls.peerCertificate();
  for (const uri of local?.uriSans ?? []) parts.push(`By=${uri}`);
  if (peer === undefined) return parts.join(';');
  if (peer.sha256 !== '') parts.push(`Hash=${peer.sha256}`);
  if (wanted.cert) parts.push(`Cert="${encodeURIComponent(peer.pem)}"`);
  if (wanted.chain) {
    const chain = tls.peerChain().map((it) => it.pem);
    parts.push(`Chain="${encodeURIComponent(chain.join(''))}"`);
  }
  if (wanted.subject) parts.push(`Subject="${peer.subject.replaceAll('"', '\\"')}"`);
  if (wanted.uri) {
    if (peer.uriSans.length === 0) parts.push('URI=');
    for (const uri of peer.uriSans) parts.push(`URI=${uri}`);
  }
  if (wanted.dns) for (const dns of peer.dnsSans) parts.push(`DNS=${dns}`);
  return parts.join(';');
}
