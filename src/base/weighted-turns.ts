/** Weights above this are scaled down: there is one entry per unit of weight. */
const maxLength = 4096;

/** One round: every index as often as its weight says, spread evenly (the earliest deadline comes first). Equal weights: in order. */
export function weightedTurns(weights: readonly number[]): number[] {
  if (weights.every((it) => it === weights[0])) return weights.map((_, i) => i);
  const divisor = weights.reduce(gcd, 0);
  const total = weights.reduce((sum, it) => sum + it / divisor, 0);
  const scale = total > maxLength ? maxLength / total : 1;
  const left = weights.map((weight, index) => {
    const times = Math.max(1, Math.round((weight / divisor) * scale));
    return { index, times, deadline: 1 / times, step: 1 / times };
  });
  const round: number[] = [];
  const length = left.reduce((sum, it) => sum + it.times, 0);
  for (let i = 0; i < length; i++) {
    let first = left[0]!;
    for (const it of left) if (it.deadline < first.deadline) first = it;
    round.push(first.index);
    first.deadline += first.step;
  }
  return round;
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}
