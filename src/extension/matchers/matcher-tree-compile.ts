// From a matcher tree as plain data to one that runs.
import { Cidr } from '#base/cidr.ts';
import { Uint64 } from '#base/uint64.ts';
import type { CelData } from '../cel/cel-config.ts';
import type { Runtime } from '../runtime.ts';
import { compileStringMatcher } from './compile.ts';
import {
  DomainTable,
  ExactTable,
  HashPredicate,
  InputPredicate,
  IpPredicate,
  IpTable,
  MatcherTree,
  type MatchInput,
  type MatchTable,
  NotPredicate,
  type OnMatch,
  type Predicate,
  PredicateList,
  PrefixTable,
  SharePredicate,
} from './matcher-tree.ts';
import type { MatcherData, MatchTableData, OnMatchData, PredicateData } from './matcher-tree-config.ts';

export interface MatcherTreeParts<Input, ActionData, Subject, Action> {
  input(data: Input): MatchInput<Subject>;
  action(data: ActionData): Action;
  readonly runtime: Runtime;
  /** Where the reader takes expressions. */
  cel?(data: CelData): Predicate<Subject>;
}

export function compileMatcherTree<Input, ActionData, Subject, Action>(
  data: MatcherData<Input, ActionData>,
  parts: MatcherTreeParts<Input, ActionData, Subject, Action>,
): MatcherTree<Subject, Action> {
  const onMatch = (it: OnMatchData<Input, ActionData>): OnMatch<Subject, Action> => ({
    action: it.action === undefined ? undefined : parts.action(it.action),
    matcher: it.matcher === undefined ? undefined : compileMatcherTree(it.matcher, parts),
  });
  const table = (it: MatchTableData<Input, ActionData>): MatchTable<Subject, Action> => {
    if (it.kind === 'ip')
      return new IpTable(
        it.ranges.map(({ range, isExclusive, onMatch: to }) => ({
          range: Cidr.parse(range)!,
          isExclusive,
          onMatch: onMatch(to),
        })),
      );
    const map = new Map(Object.entries(it.map).map(([key, to]) => [key, onMatch(to)]));
    if (it.kind === 'domain') return new DomainTable(map);
    return it.kind === 'prefix' ? new PrefixTable(map) : new ExactTable(map);
  };
  return new MatcherTree(
    data.list.map((it) => ({ predicate: predicate(it.predicate, parts), onMatch: onMatch(it.onMatch) })),
    data.tree && parts.input(data.tree.input),
    data.tree && table(data.tree.table),
    data.onNoMatch && onMatch(data.onNoMatch),
  );
}

function predicate<Input, ActionData, Subject, Action>(
  data: PredicateData<Input>,
  parts: MatcherTreeParts<Input, ActionData, Subject, Action>,
): Predicate<Subject> {
  switch (data.kind) {
    case 'single':
      return new InputPredicate(parts.input(data.input), compileStringMatcher(data.value));
    case 'ip':
      return new IpPredicate(
        parts.input(data.input),
        data.ranges.map((it) => Cidr.parse(it)!),
      );
    case 'hash': {
      const { modulo, threshold } = data;
      return new HashPredicate(parts.input(data.input), new Uint64(...data.seed), modulo, threshold);
    }
    case 'share': {
      const { input, share } = data;
      return new SharePredicate(parts.input(input), new Uint64(...data.seed), share, parts.runtime);
    }
    case 'cel':
      return parts.cel!(data.cel);
    case 'and':
    case 'or':
      return new PredicateList(
        data.predicates.map((it) => predicate(it, parts)),
        data.kind === 'or',
      );
    case 'not':
      return new NotPredicate(predicate(data.predicate, parts));
  }
}
