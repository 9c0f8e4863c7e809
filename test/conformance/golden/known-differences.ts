// docs/differences.md is the list: a line "- `case` (aspect, ...): reason" under "Recorded cases" says where we knowingly differ.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Aspect } from './replay.ts';

const file = join(import.meta.dirname, '../../../docs/differences.md');

export interface KnownDifference {
  readonly name: string;
  readonly aspects: readonly Aspect[];
  readonly reason: string;
}

export function knownDifferences(text: string = readFileSync(file, 'utf8')): Map<string, KnownDifference> {
  const known = new Map<string, KnownDifference>();
  const section = /^## Recorded cases$([\s\S]*?)(?=^## |(?![\s\S]))/m.exec(text)?.[1] ?? '';
  for (const [, name, aspects, reason] of section.matchAll(/^- `([^`]+)` \(([^)]*)\): (.*)/gm))
    known.set(name!, { name: name!, aspects: aspects!.split(', ') as Aspect[], reason: reason! });
  return known;
}
