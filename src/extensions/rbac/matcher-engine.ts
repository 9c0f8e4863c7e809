// Decides by a matcher tree; what matches nothing may not pass.
import type { MatcherTree } from '#extension/matchers/matcher-tree.ts';
import { compileMatcherTree } from '#extension/matchers/matcher-tree-compile.ts';
import {
  compileCelPredicate,
  compileStreamInput,
  type StreamSubject,
} from '#extension/matchers/stream-input.ts';
import type { Runtime } from '#extension/runtime.ts';
import type { StreamInfo } from '#extension/stream-info.ts';
import type { HeaderMap } from '#http/header-map.ts';
import type { RbacDecider } from './engine.ts';
import type { RbacActionData, RbacMatcher } from './matcher-config.ts';

export class RbacMatcherEngine implements RbacDecider {
  readonly #tree: MatcherTree<StreamSubject, RbacActionData>;
  readonly #logs: boolean;
  matchedPolicy = '';
  logHint: boolean | undefined = undefined;

  constructor(data: RbacMatcher, runtime: Runtime) {
    let logs = false;
    this.#tree = compileMatcherTree(data, {
      runtime,
      input: compileStreamInput,
      cel: compileCelPredicate,
      action(it: RbacActionData) {
        if (it.action === 'LOG') logs = true;
        return it;
      },
    });
    this.#logs = logs;
  }

  decide(info: StreamInfo, headers: HeaderMap | undefined): boolean {
    const found = this.#tree.find({ info, headers });
    this.matchedPolicy = found?.name ?? '';
    if (this.#logs) this.logHint = found?.action === 'LOG';
    return found !== undefined && found.action !== 'DENY';
  }
}
