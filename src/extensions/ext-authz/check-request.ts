// What `CheckRequest` says of a connection: its two ends, and TLS.

import { addressMessage } from '#extension/address-message.ts';
import type { UnaryMethod } from '#extension/grpc-service.ts';
import type { CertificateInfo, ConnectionInfo } from '#extension/stream-info.ts';
import type { MetadataInit } from '#schema/messages/envoy/config/core/v3.ts';
import type {
  AttributeContext_PeerInit,
  AttributeContext_TLSSessionInit,
} from '#schema/messages/envoy/service/auth/v3.ts';
import type { JsonObject } from '#schema/values.ts';

export const checkMethod: UnaryMethod<
  'envoy.service.auth.v3.CheckRequest',
  'envoy.service.auth.v3.CheckResponse'
> = {
  path: '/envoy.service.auth.v3.Authorization/Check',
  request: 'envoy.service.auth.v3.CheckRequest',
  response: 'envoy.service.auth.v3.CheckResponse',
};

/** The client's end. */
export function sourcePeer(
  connection: ConnectionInfo,
  service: string,
  includeCertificate: boolean,
): AttributeContext_PeerInit {
  const certificate = connection.tls?.peerCertificate();
  return {
    address: addressMessage(connection.remoteAddress),
    service,
    principal: principalOf(certificate),
    certificate: includeCertificate && certificate !== undefined ? encodeURIComponent(certificate.pem) : '',
  };
}

/** Our end. */
export function destinationPeer(
  connection: ConnectionInfo,
  service: string,
  labels: Readonly<Record<string, string>>,
): AttributeContext_PeerInit {
  return {
    address: addressMessage(connection.localAddress),
    service,
    principal: principalOf(connection.tls?.localCertificate()),
    labels,
  };
}

export function tlsSession(connection: ConnectionInfo): AttributeContext_TLSSessionInit {
  return { sni: connection.tls?.serverName || connection.requestedServerName };
}

type Metadata = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

/** Of the sources the first that has a namespace gives it. */
export function metadataContext(
  namespaces: readonly string[],
  ...sources: readonly (Metadata | undefined)[]
): MetadataInit {
  const found: Record<string, JsonObject> = {};
  for (const name of namespaces) {
    const source = sources.find((it) => it !== undefined && Object.hasOwn(it, name));
    if (source !== undefined) found[name] = source[name] as JsonObject;
  }
  return { filter_metadata: found };
}

/** `bootstrap_metadata_labels_key`: texts of a struct in the metadata of the node. */
export function labelsOf(
  metadata: Readonly<Record<string, unknown>>,
  key: string,
): Readonly<Record<string, string>> {
  const labels: Record<string, string> = {};
  const found = Object.hasOwn(metadata, key) ? metadata[key] : undefined;
  if (typeof found === 'object' && found !== null)
    for (const [name, value] of Object.entries(found)) labels[name] = typeof value === 'string' ? value : '';
  return labels;
}

/** The first URI, else the first DNS name, else the subject. */
function principalOf(certificate: CertificateInfo | undefined): string {
  if (certificate === undefined) return '';
  return certificate.uriSans[0] ?? certificate.dnsSans[0] ?? certificate.subject;
}
