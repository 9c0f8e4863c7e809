// Envoy's response flags: one bit each in `StreamInfo.flags`, so that setting one on the request path is an OR.

/** Bit number, short and long name, in Envoy's order: the order in which `%RESPONSE_FLAGS%` lists several. */
export const ResponseFlag = {
  FailedLocalHealthCheck: 0,
  NoHealthyUpstream: 1,
  UpstreamRequestTimeout: 2,
  LocalReset: 3,
  UpstreamRemoteReset: 4,
  UpstreamConnectionFailure: 5,
  UpstreamConnectionTermination: 6,
  UpstreamOverflow: 7,
  NoRouteFound: 8,
  DelayInjected: 9,
  FaultInjected: 10,
  RateLimited: 11,
  UnauthorizedExternalService: 12,
  RateLimitServiceError: 13,
  DownstreamConnectionTermination: 14,
  UpstreamRetryLimitExceeded: 15,
  StreamIdleTimeout: 16,
  InvalidEnvoyRequestHeaders: 17,
  DownstreamProtocolError: 18,
  UpstreamMaxStreamDurationReached: 19,
  ResponseFromCacheFilter: 20,
  NoFilterConfigFound: 21,
  DurationTimeout: 22,
  UpstreamProtocolError: 23,
  NoClusterFound: 24,
  OverloadManager: 25,
  DnsResolutionFailed: 26,
  DropOverload: 27,
  DownstreamRemoteReset: 28,
  UnconditionalDropOverload: 29,
} as const;
export type ResponseFlag = (typeof ResponseFlag)[keyof typeof ResponseFlag];

/** Short names by bit number. */
export const shortFlagNames: readonly string[] = [
  'LH',
  'UH',
  'UT',
  'LR',
  'UR',
  'UF',
  'UC',
  'UO',
  'NR',
  'DI',
  'FI',
  'RL',
  'UAEX',
  'RLSE',
  'DC',
  'URX',
  'SI',
  'IH',
  'DPE',
  'UMSDR',
  'RFCF',
  'NFCF',
  'DT',
  'UPE',
  'NC',
  'OM',
  'DF',
  'DO',
  'DR',
  'UDO',
];

/** Long names by bit number: the key's own spelling in Envoy. */
export const longFlagNames: readonly string[] = Object.entries(ResponseFlag)
  .sort(([, a], [, b]) => a - b)
  .map(([name]) => name);
