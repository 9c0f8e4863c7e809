import { defineRetryPriority } from '#extension/retry-priority.ts';
import type { PreviousPrioritiesConfig } from '#schema/messages/envoy/extensions/retry/priority/previous_priorities/v3.ts';
import { PreviousPriorities } from './previous-priorities.ts';

export const previousPriorities = defineRetryPriority({
  kind: 'retry_priority',
  name: 'envoy.retry_priorities.previous_priorities',
  type: 'envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig',
  parse: (message: PreviousPrioritiesConfig): number => message.update_frequency,
  prepare: (updateFrequency) => () => new PreviousPriorities(updateFrequency),
});
