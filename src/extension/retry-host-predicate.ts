// Which hosts a retry should not go to (`retry_host_predicate` of a retry policy).
import type { ParseContext } from '#config/parse-context.ts';
import type { Host } from './load-balancer.ts';
import type { Extension, Registry } from './registry.ts';

export interface RetryHostPredicate {
  /** Hot. True: another host is looked for. `tried`: the hosts of the attempts before, in order. */
  rejects(host: Host, tried: readonly Host[]): boolean;
}

export interface RetryHostPredicateExtension<Message = never, Config = never>
  extends Extension<'retry_host_predicate'> {
  parse(message: Message, at: ParseContext, registry: Registry): Config;
  /** Worker, once per route. */
  prepare(config: Config): RetryHostPredicate;
}

/** Only carries the types. */
export function defineRetryHostPredicate<Message, Config>(
  extension: RetryHostPredicateExtension<Message, Config>,
): RetryHostPredicateExtension {
  return extension as unknown as RetryHostPredicateExtension;
}
