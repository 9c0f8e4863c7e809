// From a matcher tree as plain data to one that runs.
import { compileStringMatcher } from '#extension/matchers/compile.ts';
import { headerField } from '#http/header-field.ts';
import {
  HeaderInput,
  InputPredicate,
  MatcherTree,
  type MatchInput,
  NotPredicate,
  type OnMatch,
  type Predicate,
  PredicateList,
  QueryInput,
} from './matcher-tree.ts';
import type {
  MatcherData,
  MatcherInput,
  OnMatchData,
  PredicateData,
  RouteActionData,
} from './route-config.ts';
import type { RouteList } from './route-table.ts';

type Data = MatcherData<RouteActionData>;

export function compileMatcherTree(data: Data, list: (routes: RouteActionData) => RouteList): MatcherTree {
  const onMatch = (it: OnMatchData<RouteActionData>): OnMatch => ({
    routes: it.action === undefined ? undefined : list(it.action),
    matcher: it.matcher === undefined ? undefined : compileMatcherTree(it.matcher, list),
  });
  const { tree } = data;
  return new MatcherTree(
    data.list.map((it) => ({ predicate: predicate(it.predicate), onMatch: onMatch(it.onMatch) })),
    tree === undefined ? undefined : input(tree.input),
    new Map(Object.entries(tree?.map ?? {}).map(([key, it]) => [key, onMatch(it)])),
    tree?.kind === 'prefix',
    data.onNoMatch === undefined ? undefined : onMatch(data.onNoMatch),
  );
}

function predicate(data: PredicateData): Predicate {
  switch (data.kind) {
    case 'single':
      return new InputPredicate(input(data.input), compileStringMatcher(data.value));
    case 'and':
      return new PredicateList(data.predicates.map(predicate), false);
    case 'or':
      return new PredicateList(data.predicates.map(predicate), true);
    case 'not':
      return new NotPredicate(predicate(data.predicate));
  }
}

function input(data: MatcherInput): MatchInput {
  return data.kind === 'request_header'
    ? new HeaderInput(data.name, headerField(data.name))
    : new QueryInput(data.name);
}
