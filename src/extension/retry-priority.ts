// Which priorities a retry chooses its host from (`retry_priority` of a retry policy).
import type { ParseContext } from '#config/parse-context.ts';
import type { Host, PriorityShares } from './load-balancer.ts';
import type { Extension, Registry } from './registry.ts';

/** Of one request. */
export interface RetryPriority {
  /** Hot. An attempt went there, in order. */
  onHostTried(host: Host): void;
  /**
   * Hot. Before a host is chosen, with what share of each priority's hosts would be enough for all requests, 100 at most. Undefined: the
   * shares that hold without.
   */
  shares(availability: PriorityShares): PriorityShares | undefined;
}

export interface RetryPriorityExtension<Message = never, Config = never> extends Extension<'retry_priority'> {
  parse(message: Message, at: ParseContext, registry: Registry): Config;
  /** Worker, once per route; what it returns is called for every request that may be retried. */
  prepare(config: Config): () => RetryPriority;
}

/** Only carries the types. */
export function defineRetryPriority<Message, Config>(
  extension: RetryPriorityExtension<Message, Config>,
): RetryPriorityExtension {
  return extension as unknown as RetryPriorityExtension;
}
