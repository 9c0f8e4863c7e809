// docs/differences.md is the list: a line "- `case` (aspect, ...): reason" under "Recorded cases" says where we knowingly differ.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Aspect } from './replay.ts';

const file = join(import.meta.dirname, '../../../docs/differences.md');

export interface KnownDifference {
  readonly name: string;
  /** `run`: the configuration is refused. */
  readonly aspects: readonly (Aspect | 'run')[];
  readonly reason: string;
}

export function knownDifferences(text: string = readFileSync(file, 'utf8')): Map<string, KnownDifference> {
  const known = new Map<string, KnownDifference>();
  const section = /^## Recorded cases$([\s\S]*?)(?=^## |(?![\s\S]))/m.exec(text)?.[1] ?? '';
  for (const [, name, aspects, reason] of section.matchAll(/^- `([^`]+)` \(([^)]*)\): (.*)/gm))
    known.set(name!, { name: name!, aspects: aspects!.split(', ') as (Aspect | 'run')[], reason: reason! });
  return known;
}
