// Every extension that is built in, beside those that are part of the data plane itself (`data-plane/core-extensions.ts`).
import type { Extension } from '#extension/registry.ts';
import { leastRequest } from './load-balancers/least-request/index.ts';
import { random } from './load-balancers/random/index.ts';
import { roundRobin } from './load-balancers/round-robin/index.ts';
import { downstreamRawBuffer, upstreamRawBuffer } from './transport-sockets/raw-buffer/index.ts';

export const extensions: readonly Extension[] = [
  downstreamRawBuffer,
  upstreamRawBuffer,
  roundRobin,
  leastRequest,
  random,
];
