// Mirrored requests (`request_mirror_policies`): sent when the request is complete, their answers are read and thrown away.
import type { AsyncCallbacks } from '#http/async-client.ts';
import type { HeaderMap } from '#http/header-map.ts';
import { AsyncRequest } from './async-request.ts';
import type { RouteEntry } from './route-entry.ts';
import type { Stream } from './stream.ts';

export function startShadows(
  stream: Stream,
  route: RouteEntry,
  headers: HeaderMap,
  body: readonly Buffer[] | undefined,
  trailers: HeaderMap | undefined,
): void {
  const policies = route.mirrorPolicies;
  const { shared } = stream.manager;
  const bodyParts = body === undefined ? 0 : body.length;
  for (let i = 0; i < policies.length; i++) {
    const policy = policies[i]!;
    if (!shared.runtime.enabled(policy.fraction, stream.random)) continue;
    const name = policy.cluster !== '' ? policy.cluster : (headers.get(policy.clusterHeader) ?? '');
    const cluster = shared.clusters.get(name);
    if (cluster === undefined) continue;
    const copy = headers.clone();
    if (policy.hostRewrite !== '') copy.authority = policy.hostRewrite;
    else if (!policy.disableHostSuffix) copy.authority = shadowHost(copy.authority);
    if (policy.headerMutations !== null) policy.headerMutations.apply(copy, stream);
    const options = {
      timeoutMs: route.timeoutMs,
      retryPolicy: undefined,
      addsInternal: true,
      addsForwardedFor: true,
    };
    const shadow = new AsyncRequest(shared.asyncClient, cluster, nobody, options, null);
    shadow.sendHeaders(copy, bodyParts === 0 && trailers === undefined);
    for (let k = 0; k < bodyParts; k++)
      shadow.sendData(body![k]!, k === bodyParts - 1 && trailers === undefined);
    if (trailers !== undefined) shadow.sendTrailers(trailers.clone());
  }
}

const nobody: AsyncCallbacks = {
  onHeaders() {},
  onData() {},
  onTrailers() {},
  onReset() {},
};

/** `a.com:80` becomes `a.com-shadow:80`. */
function shadowHost(host: string): string {
  const colon = host.lastIndexOf(':');
  return colon < 0 || host.endsWith(']')
    ? `${host}-shadow`
    : `${host.slice(0, colon)}-shadow${host.slice(colon)}`;
}
