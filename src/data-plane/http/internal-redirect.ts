// Redirects that are followed here instead of by the client (`internal_redirect_policy`): the stream begins anew with the headers that
// the `location` asks for.
import type { HeaderMap } from '#http/header-map.ts';
import type { InternalRedirectPolicy, RouteEntry } from './route-entry.ts';
import type { Router } from './router.ts';
import type { Stream } from './stream.ts';

export function canRedirectInternally(policy: InternalRedirectPolicy, status: number): boolean {
  return policy.responseCodes.includes(status);
}

/** True: the request's headers now ask for the new place. False: the redirect goes to the client, and is counted as failed. */
export function setUpRedirect(router: Router, policy: InternalRedirectPolicy, response: HeaderMap): boolean {
  const done = convert(router, policy, response);
  const { stats } = router.cluster!;
  if (done) stats.upstreamInternalRedirectSucceededTotal.value++;
  else stats.upstreamInternalRedirectFailedTotal.value++;
  return done;
}

function convert(router: Router, policy: InternalRedirectPolicy, response: HeaderMap): boolean {
  const { stream, shared } = router;
  const { routerStats } = shared;
  const headers = router.requestHeaders!;
  const location = response.get('location');
  // A body that is not kept cannot be sent again.
  if (location === undefined || !router.requestEnded || router.hasLostBody) return false;
  const target = parse(location);
  if (target === undefined) {
    routerStats.passthroughInternalRedirectBadLocation.value++;
    return false;
  }
  const isTls = stream.manager.isTls;
  // What a request says of itself is only believed of one that came over TLS.
  const scheme = isTls && headers.scheme === 'https' ? 'https' : 'http';
  if (!policy.allowCrossScheme && target.scheme !== scheme) {
    routerStats.passthroughInternalRedirectUnsafeScheme.value++;
    return false;
  }
  if (stream.internalRedirects >= policy.maxInternalRedirects) {
    routerStats.passthroughInternalRedirectTooManyRedirects.value++;
    return false;
  }
  const before = { scheme: headers.scheme, authority: headers.authority, path: headers.path };
  for (let i = 0; i < policy.responseHeadersToCopy.length; i++) {
    const name = policy.responseHeadersToCopy[i]!;
    headers.remove(name);
    const { list } = response;
    for (let k = 0; k < list.length; k += 2) if (list[k] === name) headers.add(name, list[k + 1]!);
  }
  headers.scheme = target.scheme;
  headers.authority = target.authority;
  headers.path = target.path;
  const route = stream.findNextRoute();
  if (route === undefined) {
    routerStats.passthroughInternalRedirectNoRoute.value++;
  } else if (!allowed(policy, stream, route, target.scheme)) {
    routerStats.passthroughInternalRedirectPredicate.value++;
  } else {
    if (response.status === 303 && headers.method !== 'GET' && headers.method !== 'HEAD') {
      headers.method = 'GET';
      headers.remove('content-length');
      router.dropBody();
    }
    headers.set('x-envoy-original-url', `${scheme}://${before.authority}${before.path}`);
    return true;
  }
  headers.scheme = before.scheme;
  headers.authority = before.authority;
  headers.path = before.path;
  return false;
}

function allowed(
  policy: InternalRedirectPolicy,
  stream: Stream,
  target: RouteEntry,
  scheme: string,
): boolean {
  if (policy.predicates.length === 0) return true;
  const redirect = {
    stream,
    routeName: stream.router.route!.name,
    targetRouteName: target.name,
    targetScheme: scheme,
    isDownstreamTls: stream.manager.isTls,
    followed: (stream.followedRedirects ??= new Set()),
  };
  return policy.predicates.every((it) => it.allows(redirect));
}

function parse(location: string): { scheme: string; authority: string; path: string } | undefined {
  const match = /^([a-zA-Z][a-zA-Z0-9+.-]*):\/\/([^/?#]+)([^#]*)/.exec(location);
  if (match === null) return undefined;
  const rest = match[3]!;
  return {
    scheme: match[1]!.toLowerCase(),
    authority: match[2]!,
    path: rest === '' ? '/' : rest[0] === '?' ? `/${rest}` : rest,
  };
}
