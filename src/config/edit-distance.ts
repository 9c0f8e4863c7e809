// How far two names are from each other, and the nearest of many: the base of every "did you mean".

/** Insertions, deletions, changes and swaps of neighbours. Stops counting above `limit`. */
export function editDistance(a: string, b: string, limit = 8): number {
  if (Math.abs(a.length - b.length) > limit) return limit + 1;
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      let best = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + same);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        best = Math.min(best, before[j - 2]! + 1);
      next.push(best);
    }
    before = row;
    row = next;
  }
  return row[b.length]!;
}

/** The candidate that `name` was probably meant to be; case, `_`, `-` and `.` hardly count. */
export function nearest(name: string, candidates: Iterable<string>): string | undefined {
  const wanted = bare(name);
  const limit = wanted.length <= 3 ? 1 : wanted.length <= 8 ? 2 : Math.floor(wanted.length / 3);
  let best: string | undefined;
  let bestDistance = limit + 1;
  for (const candidate of candidates) {
    const distance = editDistance(wanted, bare(candidate), limit);
    if (distance < bestDistance) {
      bestDistance = distance;
      best = candidate;
    }
  }
  return best;
}

function bare(name: string): string {
  return name.toLowerCase().replace(/[_\-. ]/g, '');
}
