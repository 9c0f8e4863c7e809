import type { ParseContext } from '#config/parse-context.ts';
import { defineEarlyHeaderMutation } from '#extension/early-header-mutation.ts';
import {
  compileSteps,
  type HeaderMutationData,
  parseHeaderMutations,
} from '#extension/header-mutation-config.ts';
import type { HeaderMutation } from '#schema/messages/envoy/extensions/http/early_header_mutation/header_mutation/v3.ts';

export const earlyHeaderMutation = defineEarlyHeaderMutation({
  kind: 'early_header_mutation',
  name: 'envoy.http.early_header_mutation.header_mutation',
  type: 'envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation',
  parse: (message: HeaderMutation, at: ParseContext): readonly HeaderMutationData[] =>
    parseHeaderMutations(message.mutations, at, 'mutations'),
  prepare: compileSteps,
});
