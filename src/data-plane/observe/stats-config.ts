// `stats_config` of the bootstrap: which metrics exist, their tags, the buckets of their histograms.
import { regexProblem } from '#base/regex.ts';
import type { ParseContext } from '#config/parse-context.ts';
import { compileStringMatcher } from '#extension/matchers/compile.ts';
import type { StringMatcherData } from '#extension/matchers/matcher-config.ts';
import { parseStringMatcher } from '#extension/matchers/parse.ts';
import { onlyFields } from '#extension/message-fields.ts';
import type { StatsConfig, StatsMatcher } from '#schema/messages/envoy/config/metrics/v3.ts';
import { type BucketBounds, defaultBuckets } from '#stats/histogram-statistics.ts';
import { defaultTagSettings, hasDefaultTag, type TagSettings } from '#stats/tags.ts';

/** Plain data: workers get the matcher. */
export interface StatsSettings {
  readonly tags: TagSettings;
  /** Metrics to keep; undefined: all. */
  readonly matcher: StatsMatcherData | undefined;
  readonly buckets: readonly { readonly match: StringMatcherData; readonly bounds: readonly number[] }[];
}

export interface StatsMatcherData {
  /** True: only what a pattern matches is kept; false: what a pattern matches is not. */
  readonly keepsMatching: boolean;
  readonly patterns: readonly StringMatcherData[];
}

export function parseStatsConfig(message: StatsConfig | undefined, at: ParseContext): StatsSettings {
  if (message === undefined) return { tags: defaultTagSettings, matcher: undefined, buckets: [] };
  onlyFields(message, at, [
    'stats_tags',
    'use_all_default_tags',
    'stats_matcher',
    'histogram_bucket_settings',
    'allow_default_tag_overrides',
  ]);
  const tags = message.stats_tags.map(({ tag_name, regex, fixed_value }, i) => {
    const here = at.field('stats_tags', i);
    if (fixed_value !== undefined) return { name: tag_name, fixedValue: fixed_value };
    if (regex) {
      const problem = regexProblem(regex);
      if (problem !== undefined) {
        here.field('regex').fail(problem, { got: regex, envoy: `Invalid regex '${regex}': ${problem}` });
      }
      return { name: tag_name, regex };
    }
    if (!hasDefaultTag(tag_name)) {
      here.field('tag_name').fail('has no default regex, and none is given', {
        got: tag_name,
        envoy: `No regex specified for tag specifier and no default regex for name: '${tag_name}'`,
      });
    }
    return { name: tag_name };
  });
  return {
    tags: {
      useAllDefaultTags: message.use_all_default_tags ?? true,
      overridesDefaults: message.allow_default_tag_overrides ?? false,
      tags,
    },
    matcher: parseStatsMatcher(message.stats_matcher, at.field('stats_matcher')),
    // `bins` only says how much room a histogram has at first.
    buckets: message.histogram_bucket_settings.map(({ match, buckets }, i) => {
      const here = at.field('histogram_bucket_settings', i);
      return {
        match: parseStringMatcher(match!, here.field('match')),
        bounds: buckets.length > 0 ? buckets : defaultBuckets,
      };
    }),
  };
}

function parseStatsMatcher(
  message: StatsMatcher | undefined,
  at: ParseContext,
): StatsMatcherData | undefined {
  if (message === undefined) return undefined;
  const { reject_all, exclusion_list, inclusion_list } = message;
  if (reject_all !== undefined) return reject_all ? { keepsMatching: true, patterns: [] } : undefined;
  const name = inclusion_list === undefined ? 'exclusion_list' : 'inclusion_list';
  const list = inclusion_list ?? exclusion_list;
  return {
    keepsMatching: inclusion_list !== undefined,
    patterns: (list?.patterns ?? []).map((it, i) =>
      parseStringMatcher(it, at.field(name).field('patterns', i)),
    ),
  };
}

/** For `StatsStore`. */
export function statsFilter(matcher: StatsMatcherData | undefined): (name: string) => boolean {
  if (matcher === undefined) return () => true;
  const patterns = matcher.patterns.map(compileStringMatcher);
  return (name) => patterns.some((it) => it.matches(name)) === matcher.keepsMatching;
}

/** The first setting that matches counts. */
export function bucketBounds({ buckets }: StatsSettings): BucketBounds {
  const settings = buckets.map(({ match, bounds }) => ({ match: compileStringMatcher(match), bounds }));
  return (name) => settings.find(({ match }) => match.matches(name))?.bounds ?? defaultBuckets;
}
