// The matcher of the rbac filters, the other form of their rules, as plain data.
import type { ParseContext } from '#config/parse-context.ts';
import type { MatcherData } from '#extension/matchers/matcher-tree-config.ts';
import { parseMatcherTree } from '#extension/matchers/matcher-tree-parse.ts';
import { parseStreamInput, type StreamInputData } from '#extension/matchers/stream-input-config.ts';
import type { Action } from '#schema/messages/envoy/config/rbac/v3.ts';
import type { Matcher } from '#schema/messages/xds/type/matcher/v3.ts';

export interface RbacActionData {
  readonly name: string;
  readonly action: 'ALLOW' | 'DENY' | 'LOG';
}

export type RbacMatcher = MatcherData<StreamInputData, RbacActionData>;

const actionType = 'envoy.config.rbac.v3.Action';

/** `hasHeaders`: of an HTTP filter. */
export function parseRbacMatcher(message: Matcher, at: ParseContext, hasHeaders: boolean): RbacMatcher {
  return parseMatcherTree<StreamInputData, RbacActionData>(message, at, {
    takesCel: hasHeaders,
    input: (type, config, here) => parseStreamInput(type, config, here, hasHeaders),
    action(type, config, here) {
      if (type === actionType) {
        const { name, action } = config as Action;
        return { name, action: action === 'DENY' || action === 'LOG' ? action : 'ALLOW' };
      }
      here.unsupported(`action ${type} is not supported here`, { expected: actionType });
      return undefined;
    },
  });
}
