// Changes to request headers before anything is decided by them (`early_header_mutation_extensions` of the connection manager).
import type { ParseContext } from '#config/parse-context.ts';
import type { HeaderMutations } from './header-mutations.ts';
import type { Extension, Registry } from './registry.ts';

export interface EarlyHeaderMutationExtension<Message = never, Config = never>
  extends Extension<'early_header_mutation'> {
  parse(message: Message, at: ParseContext, registry: Registry): Config;
  /** Once per connection manager and worker. Null: nothing to do. */
  prepare(config: Config): HeaderMutations | null;
}

/** Only carries the types. */
export function defineEarlyHeaderMutation<Message, Config>(
  extension: EarlyHeaderMutationExtension<Message, Config>,
): EarlyHeaderMutationExtension {
  return extension as unknown as EarlyHeaderMutationExtension;
}
