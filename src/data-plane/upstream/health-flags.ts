// What is known against a host, by who found it: bits, as `/clusters` lists them.
import { HostHealth } from '#extension/load-balancer.ts';
import type { HealthStatus } from '#schema/messages/envoy/config/core/v3.ts';

export const HealthFlag = {
  FailedActive: 1,
  FailedEds: 2,
  DegradedActive: 4,
  DegradedEds: 8,
  /** Discovery does not name it any more, but it passes its health checks. */
  PendingRemoval: 16,
  /** Not checked yet, and not held against the cluster. */
  PendingActive: 32,
  /** It has asked to be left out. */
  ExcludedImmediate: 64,
  ActiveTimeout: 128,
  EdsDraining: 256,
} as const;
export type HealthFlag = (typeof HealthFlag)[keyof typeof HealthFlag];

const unhealthy = HealthFlag.FailedActive | HealthFlag.FailedEds | HealthFlag.EdsDraining;
const degraded = HealthFlag.DegradedActive | HealthFlag.DegradedEds;
const excluded = HealthFlag.PendingActive | HealthFlag.ExcludedImmediate | HealthFlag.EdsDraining;

export function healthOf(flags: number): HostHealth {
  if ((flags & unhealthy) !== 0) return HostHealth.Unhealthy;
  return (flags & degraded) !== 0 ? HostHealth.Degraded : HostHealth.Healthy;
}

/** It does not count as missing. */
export function isExcluded(flags: number): boolean {
  return (flags & excluded) !== 0;
}

/** What the configuration or EDS says of a host. */
export function flagsOfStatus(status: HealthStatus): number {
  switch (status) {
    case 'UNHEALTHY':
    case 'TIMEOUT':
      return HealthFlag.FailedEds;
    case 'DRAINING':
      return HealthFlag.EdsDraining;
    case 'DEGRADED':
      return HealthFlag.DegradedEds;
    default:
      return 0;
  }
}
