// Matchers as plain data: what the `parse...Matcher` functions make on the main thread and `compile.ts` turns into matchers.

export type StringMatcherData =
  | {
      readonly kind: 'exact' | 'prefix' | 'suffix' | 'contains';
      /** In lower case when `ignoreCase`. */
      readonly value: string;
      readonly ignoreCase: boolean;
    }
  | { readonly kind: 'regex'; readonly value: string };

export interface HeaderMatcherData {
  /** Lower-case. */
  readonly name: string;
  readonly value:
    | StringMatcherData
    | { readonly kind: 'range'; readonly start: bigint; readonly end: bigint }
    | { readonly kind: 'present'; readonly present: boolean };
  readonly invert: boolean;
  readonly missingIsEmpty: boolean;
}

/** A query parameter or a cookie. */
export interface NamedStringMatcherData {
  readonly name: string;
  readonly value: StringMatcherData | { readonly kind: 'present'; readonly present: boolean };
}

export interface MetadataMatcherData {
  readonly filter: string;
  readonly path: readonly string[];
  readonly value: ValueMatcherData;
  readonly invert: boolean;
}

export type ValueMatcherData =
  | { readonly kind: 'null' }
  | { readonly kind: 'number'; readonly value: number }
  | { readonly kind: 'number_range'; readonly start: number; readonly end: number }
  | { readonly kind: 'string'; readonly value: StringMatcherData }
  | { readonly kind: 'bool'; readonly value: boolean }
  | { readonly kind: 'present'; readonly present: boolean }
  | { readonly kind: 'list'; readonly oneOf: ValueMatcherData }
  | { readonly kind: 'or'; readonly values: readonly ValueMatcherData[] };

export interface FilterStateMatcherData {
  readonly key: string;
  /** Ranges of addresses. */
  readonly value: StringMatcherData | { readonly kind: 'address'; readonly ranges: readonly string[] };
}
