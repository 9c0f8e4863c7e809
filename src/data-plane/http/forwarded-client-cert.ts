// x-forwarded-client-cert: passed on, thrown away or written, as `forward_client_cert_details` says.
import type { CertificateInfo, TlsInfo } from '#extension/stream-info.ts';
import type { HeaderMap } from '#http/header-map.ts';
import { isHeaderValue } from '#http/header-validity.ts';
import type { ClientCertData } from './forwarded-client-cert-config.ts';
import { ForwardClientCert } from './manager-config.ts';
import type { Stream } from './stream.ts';

const header = 'x-forwarded-client-cert';

export function setForwardedClientCert(stream: Stream, headers: HeaderMap): void {
  const { shared, connectionInfo } = stream.manager;
  const { tls } = connectionInfo;
  const config = shared.clientCertMatcher?.find({ info: stream.info, headers }) ?? shared.config.clientCert;
  const { mode } = config;
  if (mode === ForwardClientCert.AlwaysForwardOnly) return;
  if (mode === ForwardClientCert.Sanitize || tls === undefined || !tls.peerPresented) {
    headers.remove(header);
    return;
  }
  if (mode === ForwardClientCert.ForwardOnly) return;
  const before = mode === ForwardClientCert.SanitizeSet ? undefined : headers.joined(header);
  if (!config.isJson) {
    const value = describe(config, tls);
    // Names in a certificate may have any bytes.
    if (!isHeaderValue(value)) headers.isUnchecked = true;
    headers.set(header, before === undefined ? value : `${before},${value}`);
    return;
  }
  const elements = before === undefined || before === '' ? [] : jsonArray(before);
  // What is there stays as it is, in its form.
  if (elements === undefined) headers.set(header, `${before},${describe(config, tls)}`);
  else headers.set(header, JSON.stringify([...elements, describeAsJson(config, tls)]));
}

function describe(wanted: ClientCertData, tls: TlsInfo): string {
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
  if (wanted.subject) parts.push(`Subject="${quoted(peer.subject)}"`);
  if (wanted.uri) {
    if (peer.uriSans.length === 0) parts.push('URI=');
    for (const uri of peer.uriSans) parts.push(`URI=${uri}`);
  }
  if (wanted.dns) for (const dns of peer.dnsSans) parts.push(`DNS=${dns}`);
  if (wanted.issuer) parts.push(`Issuer="${quoted(peer.issuer)}"`);
  return parts.join(';');
}

function quoted(name: string): string {
  return name.replaceAll('"', '\\"');
}

function describeAsJson(wanted: ClientCertData, tls: TlsInfo): object {
  const local = tls.localCertificate();
  const peer: Partial<CertificateInfo> = tls.peerCertificate() ?? {};
  const some = (list: readonly string[] | undefined) => (list?.length ? list : undefined);
  return {
    by: some(local?.uriSans),
    hash: peer.sha256 || undefined,
    cert: wanted.cert ? peer.pem : undefined,
    chain: wanted.chain ? some(tls.peerChain().map((it) => it.pem)) : undefined,
    subject: wanted.subject ? peer.subject : undefined,
    uri: wanted.uri ? some(peer.uriSans) : undefined,
    dns: wanted.dns ? some(peer.dnsSans) : undefined,
    issuer: wanted.issuer ? peer.issuer : undefined,
  };
}

/** Undefined: it is none. */
function jsonArray(text: string): readonly unknown[] | undefined {
  if (!text.startsWith('[')) return undefined;
  try {
    return JSON.parse(text) as readonly unknown[];
  } catch {
    return undefined;
  }
}
