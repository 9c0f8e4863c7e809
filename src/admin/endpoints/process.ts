// What concerns the process: memory, and the tools that Envoy's build has and this runtime does not.
import type { AdminEndpoint } from '../endpoint.ts';
import { messagePage } from '../json-page.ts';

export function processEndpoints(): AdminEndpoint[] {
  return [
    {
      path: '/memory',
      help: 'print current allocation/heap usage',
      mutates: false,
      handle() {
        const { rss, heapTotal, heapUsed, external } = process.memoryUsage();
        return messagePage(
          'envoy.admin.v3.Memory',
          {
            allocated: BigInt(heapUsed + external),
            heap_size: BigInt(heapTotal + external),
            pageheap_free: BigInt(Math.max(heapTotal - heapUsed, 0)),
            total_physical_bytes: BigInt(rss),
          },
          { defaults: true },
        );
      },
    },
    {
      path: '/contention',
      help: 'dump current Envoy mutex contention stats (if enabled)',
      mutates: false,
      // There are no mutexes to trace.
      handle: () => ({
        body: 'Mutex contention tracing is not enabled. To enable, run Envoy with flag --enable-mutex-tracing.',
      }),
    },
    unsupported('/memory/tcmalloc', 'print TCMalloc stats', 'TCMalloc'),
    unsupported('/heap_dump', 'dump current Envoy heap (if supported)', 'heap dump'),
    unsupported('/peak_heap_dump', 'dump peak Envoy heap (if supported)', 'peak heap dump'),
    profiler('/cpuprofiler', 'enable/disable the CPU profiler', 'enables the CPU profiler', 'CPU profiler'),
    profiler('/heapprofiler', 'enable/disable the heap profiler', undefined, 'heap profiler'),
    profiler(
      '/allocprofiler',
      'enable/disable the allocation profiler (if supported)',
      'enable/disable the allocation profiler',
      'allocation profiler',
    ),
  ];
}

function unsupported(path: string, help: string, what: string, mutates = false): AdminEndpoint {
  return {
    path,
    help,
    mutates,
    handle: () => ({ status: 501, body: `The current build does not support ${what}` }),
  };
}

function profiler(
  path: string,
  help: string,
  parameterHelp: string | undefined,
  what: string,
): AdminEndpoint {
  return {
    ...unsupported(path, help, what, true),
    parameters: [{ name: 'enable', help: parameterHelp ?? help, choices: ['y', 'n'] }],
  };
}
