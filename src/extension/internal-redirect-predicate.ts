// Which redirects are followed here (`predicates` of an internal redirect policy).
import type { ParseContext } from '#config/parse-context.ts';
import type { FormatContext } from './formatter.ts';
import type { Extension, Registry } from './registry.ts';

/** A redirect that is about to be followed. */
export interface InternalRedirect {
  readonly stream: FormatContext;
  readonly routeName: string;
  readonly targetRouteName: string;
  readonly targetScheme: string;
  readonly isDownstreamTls: boolean;
  /** What predicates remember of the redirects of this request. */
  readonly followed: Set<string>;
}

export interface InternalRedirectPredicate {
  allows(redirect: InternalRedirect): boolean;
}

export interface InternalRedirectPredicateExtension<Message = never, Config = never>
  extends Extension<'internal_redirect_predicate'> {
  parse(message: Message, at: ParseContext, registry: Registry): Config;
  /** Worker, once per route. */
  prepare(config: Config): InternalRedirectPredicate;
}

/** Only carries the types. */
export function defineInternalRedirectPredicate<Message, Config>(
  extension: InternalRedirectPredicateExtension<Message, Config>,
): InternalRedirectPredicateExtension {
  return extension as unknown as InternalRedirectPredicateExtension;
}
