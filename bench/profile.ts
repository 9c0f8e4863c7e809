// Reads the .cpuprofile files that `node --cpu-prof` leaves and prints the functions with the most self time.
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

export function printProfile(folder: string, requests: number, count = 30): void {
  const files = globSync('*.cpuprofile', { cwd: folder });
  if (files.length === 0)
    console.log('  no profile was written: the process did not exit by itself on SIGTERM');
  // One file per thread. The worker's is the one that was busy; the main thread only started it.
  let self = new Map<string, number>();
  let total = 0;
  for (const file of files) {
    const ofThread = new Map<string, number>();
    const profile = JSON.parse(readFileSync(join(folder, file), 'utf8')) as CpuProfile;
    const names = new Map(
      profile.nodes.map(({ id, callFrame: { functionName, url, lineNumber } }) => {
        const place = url.replace(/^.*\/(src|node_modules)\//, '$1/').replace(/^node:/, 'node:');
        return [id, `${functionName || '(anonymous)'} ${place}${place ? `:${lineNumber + 1}` : ''}`];
      }),
    );
    profile.samples.forEach((id, i) => {
      const name = names.get(id)!;
      ofThread.set(name, (ofThread.get(name) ?? 0) + profile.timeDeltas[i]!);
    });
    for (const name of ['(idle) ', '(root) ']) ofThread.delete(name);
    const time = [...ofThread.values()].reduce((sum, it) => sum + it, 0);
    if (time > total) [self, total] = [ofThread, time];
  }
  console.log(`  self time, ${(total / requests).toFixed(1)} us per request in the worker:`);
  const rows = [...self].sort((a, b) => b[1] - a[1]).slice(0, count);
  for (const [name, microseconds] of rows)
    console.log(
      `  ${((100 * microseconds) / total).toFixed(1).padStart(5)}% ${(microseconds / requests).toFixed(2).padStart(7)} us  ${name}`,
    );
}
