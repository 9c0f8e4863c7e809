// A matcher tree (`xds.type.matcher.v3.Matcher`) as plain data. `Input`: what predicates look at; `Action`: where it leads.
import type { CelData } from '../cel/cel-config.ts';
import type { RuntimeFraction } from '../runtime.ts';
import type { StringMatcherData } from './matcher-config.ts';

export interface MatcherData<Input, Action> {
  readonly list: readonly {
    readonly predicate: PredicateData<Input>;
    readonly onMatch: OnMatchData<Input, Action>;
  }[];
  readonly tree: { readonly input: Input; readonly table: MatchTableData<Input, Action> } | undefined;
  readonly onNoMatch: OnMatchData<Input, Action> | undefined;
}

export type MatchTableData<Input, Action> =
  | {
      /** `domain`: names, `*.example.com` and `*`. */
      readonly kind: 'exact' | 'prefix' | 'domain';
      readonly map: Readonly<Record<string, OnMatchData<Input, Action>>>;
    }
  | {
      readonly kind: 'ip';
      readonly ranges: readonly {
        readonly range: string;
        readonly isExclusive: boolean;
        readonly onMatch: OnMatchData<Input, Action>;
      }[];
    };

export interface OnMatchData<Input, Action> {
  readonly matcher: MatcherData<Input, Action> | undefined;
  readonly action: Action | undefined;
}

export type PredicateData<Input> =
  | { readonly kind: 'single'; readonly input: Input; readonly value: StringMatcherData }
  | { readonly kind: 'ip'; readonly input: Input; readonly ranges: readonly string[] }
  | {
      readonly kind: 'hash';
      readonly input: Input;
      readonly seed: Seed;
      readonly modulo: number;
      readonly threshold: number;
    }
  | { readonly kind: 'share'; readonly input: Input; readonly seed: Seed; readonly share: RuntimeFraction }
  | { readonly kind: 'cel'; readonly cel: CelData }
  | { readonly kind: 'or' | 'and'; readonly predicates: readonly PredicateData<Input>[] }
  | { readonly kind: 'not'; readonly predicate: PredicateData<Input> };

/** The halves of a number of 64 bits. */
export type Seed = readonly [high: number, low: number];
