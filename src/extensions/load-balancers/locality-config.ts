// `locality_lb_config` and `slow_start_config`, which the policies have in common.
import type { ParseContext } from '#config/parse-context.ts';
import { durationMs, onlyFields } from '#extension/message-fields.ts';
import type { Runtime } from '#extension/runtime.ts';
import type { RuntimeDouble } from '#schema/messages/envoy/config/core/v3.ts';
import type {
  LocalityLbConfig,
  SlowStartConfig as SlowStartMessage,
} from '#schema/messages/envoy/extensions/load_balancing_policies/common/v3.ts';
import type { SlowStartConfig } from './slow-start.ts';

/** A number that the runtime may replace. */
export interface TunableNumber {
  readonly value: number;
  readonly runtimeKey: string;
}

export interface SlowStartData {
  readonly windowMs: number;
  readonly aggression: TunableNumber;
  readonly minWeight: number;
}

export function tunable(message: RuntimeDouble | undefined, fallback: number): TunableNumber {
  return { value: message?.default_value ?? fallback, runtimeKey: message?.runtime_key ?? '' };
}

export function tuned({ value, runtimeKey }: TunableNumber, runtime: Runtime): number {
  return runtime.double(runtimeKey, value);
}

export function parseSlowStart(message: SlowStartMessage | undefined): SlowStartData {
  return {
    windowMs: durationMs(message?.slow_start_window, 0),
    aggression: tunable(message?.aggression, 1),
    minWeight: (message?.min_weight_percent?.value ?? 10) / 100,
  };
}

export function slowStartOf(data: SlowStartData, runtime: Runtime): SlowStartConfig {
  return { ...data, aggression: tuned(data.aggression, runtime) };
}

export interface LocalityData {
  readonly weighsLocalities: boolean;
  readonly failsInPanic: boolean;
}

/** Zones count only with a local cluster, and there is none. */
export function parseLocality(message: LocalityLbConfig | undefined, at: ParseContext): LocalityData {
  if (message !== undefined) onlyFields(message, at, ['locality_weighted_lb_config', 'zone_aware_lb_config']);
  return {
    weighsLocalities: message?.locality_weighted_lb_config !== undefined,
    failsInPanic: message?.zone_aware_lb_config?.fail_traffic_on_panic ?? false,
  };
}
