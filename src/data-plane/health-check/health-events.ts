// What becomes of hosts by their health checks, as lines of JSON in files: `event_logger`.
import type { Clock } from '#base/clock.ts';
import type { AccessLogFile } from '#extension/access-log-files.ts';
import { addressMessage } from '#extension/address-message.ts';
import { create } from '#schema/create.ts';
import { toJson } from '#schema/json.ts';
import type { HealthCheckEventInit } from '#schema/messages/envoy/data/core/v3.ts';
import { message } from '#schema/registry.ts';
import { addressText } from '#base/address-text.ts';
import type { HostConfig, LocalityConfig } from '../upstream/cluster-config.ts';
import type { ProbeConfig } from './health-check-config.ts';
import type { FailureType } from './probe.ts';

const eventType = 'envoy.data.core.v3.HealthCheckEvent';

type Event = Pick<
  HealthCheckEventInit,
  | 'eject_unhealthy_event'
  | 'add_healthy_event'
  | 'successful_health_check_event'
  | 'health_check_failure_event'
  | 'degraded_healthy_host'
  | 'no_longer_degraded_host'
>;

/** Where the events of one check go. */
export interface EventLog {
  readonly cluster: string;
  readonly checker: ProbeConfig['kind'];
  readonly files: readonly AccessLogFile[];
  readonly clock: Clock;
}

/** Of one host. */
export class HealthEvents {
  readonly #log: EventLog;
  readonly #host: HostConfig;
  readonly #locality: Pick<LocalityConfig, 'region' | 'zone' | 'subZone'>;

  constructor(
    log: EventLog,
    host: HostConfig,
    locality: Pick<LocalityConfig, 'region' | 'zone' | 'subZone'>,
  ) {
    this.#log = log;
    this.#host = host;
    this.#locality = locality;
  }

  ejectUnhealthy(type: FailureType, status: number): void {
    this.#write({ eject_unhealthy_event: { failure_type: type, http_status_code: status } });
  }

  addHealthy(isFirst: boolean): void {
    this.#write({ add_healthy_event: { first_check: isFirst } });
  }

  failure(type: FailureType, isFirst: boolean, status: number): void {
    this.#write({
      health_check_failure_event: { failure_type: type, first_check: isFirst, http_status_code: status },
    });
  }

  successful(): void {
    this.#write({ successful_health_check_event: {} });
  }

  degraded(): void {
    this.#write({ degraded_healthy_host: {} });
  }

  noLongerDegraded(): void {
    this.#write({ no_longer_degraded_host: {} });
  }

  #write(event: Event): void {
    const { cluster, checker, files, clock } = this.#log;
    if (files.length === 0) return;
    const { address, port, metadata } = this.#host;
    const { region, zone, subZone } = this.#locality;
    const ms = clock.wallMs();
    const content = {
      health_checker_type: checker,
      host: addressMessage(addressText(address, port)),
      cluster_name: cluster,
      timestamp: { seconds: Math.floor(ms / 1000), nanos: Math.floor(ms % 1000) * 1e6 },
      ...(metadata && { metadata: { filter_metadata: metadata } }),
      locality: { region, zone, sub_zone: subZone },
      ...event,
    };
    const json = toJson(message(eventType), create(eventType, content as HealthCheckEventInit), {
      defaults: true,
    });
    const line = `${Buffer.from(JSON.stringify(json)).toString('latin1')}\n`;
    for (const it of files) it.write(line);
  }
}
