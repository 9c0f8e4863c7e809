// Statistics in all their formats.
import type { BucketBounds } from '#stats/histogram-statistics.ts';
import { statsJson } from '#stats/json.ts';
import type { MergedStats, StatsReading } from '#stats/merged.ts';
import { statsPrometheus } from '#stats/prometheus.ts';
import type { TagExtractor } from '#stats/tags.ts';
import { type HistogramView, statsText } from '#stats/text.ts';
import {
  type AdminEndpoint,
  type AdminParameter,
  type AdminQuery,
  type AdminResponse,
  contentTypes,
  ok,
} from '../endpoint.ts';
import { type NameFilter, nameFilter } from '../filter.ts';
import type { StatsOwner } from '../owners.ts';
import { activeStatsPage, statsPage } from '../stats-page.ts';

export interface StatsPages {
  readonly stats: MergedStats;
  readonly tags: TagExtractor;
  readonly bounds: BucketBounds;
  readonly owner: StatsOwner;
}

const types = ['All', 'Counters', 'Histograms', 'Gauges', 'TextReadouts'] as const;
type StatType = (typeof types)[number];

const usedOnly: AdminParameter = {
  name: 'usedonly',
  isFlag: true,
  help: 'Only include stats that have been written by system since restart',
};
const filters: readonly AdminParameter[] = [
  { name: 'filter', help: 'Regular expression (Google re2) for filtering stats' },
  { name: 'invert_filter', isFlag: true, help: 'Invert the filter regex' },
];

export function statsEndpoints({ stats, tags, bounds, owner }: StatsPages): AdminEndpoint[] {
  const page = async (query: AdminQuery, format: string): Promise<AdminResponse> => {
    const wanted = parseWanted(query, format);
    if ('body' in wanted) return wanted;
    if (format === 'active-html') return { contentType: contentTypes.html, body: activeStatsPage(query) };
    await owner.scrape();
    const reading = select(stats.read(wanted, await owner.endpoints()), wanted);
    switch (format) {
      case 'json':
        return { contentType: contentTypes.json, body: statsJson(reading, wanted.view, bounds) };
      case 'html':
        return {
          contentType: contentTypes.html,
          body: statsPage(query, statsText(reading, wanted.view, bounds)),
        };
      case 'prometheus': {
        const asked = query.get('histogram_buckets');
        const histograms = asked === 'summary' || asked === 'none' ? 'summary' : 'buckets';
        const textReadouts = query.has('text_readouts');
        return { body: statsPrometheus(reading, tags, bounds, { histograms, textReadouts }) };
      }
      default:
        return { body: statsText(reading, wanted.view, bounds) };
    }
  };

  return [
    {
      path: '/stats',
      help: 'print server stats',
      mutates: false,
      parameters: [
        usedOnly,
        ...filters,
        { name: 'format', help: 'Format to use', choices: ['html', 'active-html', 'text', 'json'] },
        { name: 'type', help: 'Stat types to include.', choices: types },
        {
          name: 'histogram_buckets',
          help: 'Histogram bucket display mode',
          choices: ['cumulative', 'disjoint', 'detailed', 'summary'],
        },
      ],
      handle({ query }) {
        const format = query.value('format') ?? 'text';
        if (!['html', 'active-html', 'json', 'prometheus', 'text'].includes(format)) {
          return { status: 400, body: 'usage: /stats?format=(html|active-html|json|prometheus|text)\n\n' };
        }
        return page(query, format);
      },
    },
    {
      path: '/stats/prometheus',
      help: 'print server stats in prometheus format',
      mutates: false,
      parameters: [
        usedOnly,
        {
          name: 'text_readouts',
          isFlag: true,
          help: 'Render text_readouts as new gaugues with value 0 (increases Prometheus data size)',
        },
        ...filters,
        {
          name: 'histogram_buckets',
          help: 'Histogram bucket display mode',
          choices: ['cumulative', 'summary'],
        },
      ],
      handle: ({ query }) => page(query, 'prometheus'),
    },
    {
      path: '/reset_counters',
      help: 'reset all counters to zero',
      mutates: true,
      async handle() {
        stats.resetCounters();
        await owner.resetWorkerCounters();
        return ok;
      },
    },
    ...recentLookups(),
  ];
}

interface Wanted {
  readonly view: HistogramView;
  readonly type: StatType;
  readonly usedOnly: boolean;
  readonly hidden: 'include' | 'only' | 'exclude';
  readonly accepts: NameFilter;
}

function parseWanted(query: AdminQuery, format: string): Wanted | AdminResponse {
  const filter = nameFilter(query);
  if (typeof filter !== 'function') return filter;
  const isInverted = query.has('invert_filter') && query.value('filter') !== undefined;

  const buckets = query.value('histogram_buckets') ?? 'none';
  if (!['none', 'summary', 'cumulative', 'disjoint', 'detailed', 'prometheusnative'].includes(buckets)) {
    return wrong('usage: /stats?histogram_buckets=(cumulative|disjoint|detailed|summary|prometheusnative)\n');
  }
  if (format === 'prometheus' && (buckets === 'disjoint' || buckets === 'detailed')) {
    return wrong('unsupported prometheus histogram bucket mode');
  }
  if (buckets === 'prometheusnative') {
    return wrong(
      format === 'prometheus'
        ? 'unsupported prometheusnative histogram type when not using protobuf exposition format'
        : 'Invalid histogram_buckets type for non prometheus stats type',
    );
  }
  const type = types.find((it) => it === (query.value('type') ?? 'All'));
  if (type === undefined) return wrong('invalid &type= param');
  const hidden = query.get('hidden') ?? 'exclude';
  if (hidden !== 'include' && hidden !== 'only' && hidden !== 'exclude') {
    return wrong('usage: /stats?hidden=(include|only|exclude)\n\n');
  }
  return {
    view: buckets === 'none' ? 'summary' : (buckets as HistogramView),
    // The format of Prometheus always has all types.
    type: format === 'prometheus' ? 'All' : type,
    usedOnly: query.has('usedonly'),
    hidden,
    accepts: isInverted ? (name) => !filter(name) : filter,
  };
}

function wrong(body: string): AdminResponse {
  return { status: 400, body };
}

/** Only gauges can be hidden. */
function select(reading: StatsReading, { type, hidden }: Wanted): StatsReading {
  const shown = <T>(of: StatType, stats: readonly T[]) =>
    (type === 'All' || type === of) && (hidden !== 'only' || of === 'Gauges') ? stats : [];
  return {
    counters: shown('Counters', reading.counters),
    gauges: shown('Gauges', reading.gauges).filter(
      ({ mode }) => hidden === 'include' || (mode === 'hidden_accumulate') === (hidden === 'only'),
    ),
    textReadouts: shown('TextReadouts', reading.textReadouts),
    histograms: shown('Histograms', reading.histograms),
    endpoints: reading.endpoints.filter(({ isCounter }) =>
      isCounter ? shown('Counters', [true]).length > 0 : shown('Gauges', [true]).length > 0,
    ),
  };
}

/** Names are looked up when configuration is prepared, never per request: there is nothing to record. */
function recentLookups(): AdminEndpoint[] {
  let isEnabled = false;
  const set = (path: string, help: string, enabled?: boolean): AdminEndpoint => ({
    path: `/stats/recentlookups/${path}`,
    help,
    mutates: true,
    handle() {
      if (enabled !== undefined) isEnabled = enabled;
      return ok;
    },
  });
  return [
    {
      path: '/stats/recentlookups',
      help: 'Show recent stat-name lookups',
      mutates: false,
      handle: () => ({
        body: isEnabled
          ? '   Count Lookup\n\ntotal: 0\n'
          : 'Lookup tracking is not enabled. Use /stats/recentlookups/enable to enable.\n\ntotal: 0\n',
      }),
    },
    set('clear', 'clear list of stat-name lookups and counter'),
    set('disable', 'disable recording of reset stat-name lookup names', false),
    set('enable', 'enable recording of reset stat-name lookup names', true),
  ];
}
