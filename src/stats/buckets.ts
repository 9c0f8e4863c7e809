// What can be read from the slots of a `Histogram`: bounds, quantiles, sums. Follows the model of the OpenHistogram library,
// which Envoy uses: a bucket's samples are spread evenly over it, and quantiles are of type 1.

/** Counts per slot of `Histogram`, added up over threads. */
export type Slots = ArrayLike<number>;

/** Slot `[low, low + width)`. Computed as the library does, so that the last digits agree: 23 * 10 is 229.99999999999997. */
export function slotLow(slot: number): number {
  if (slot < 10) return slot;
  if (slot < 100) return (slot / 10) * 10;
  return ((10 + ((slot - 100) % 90)) / 10) * 10 ** (2 + Math.floor((slot - 100) / 90));
}

/** Zero has no width; 1 to 9 are buckets of a tenth. */
export function slotWidth(slot: number): number {
  if (slot === 0) return 0;
  if (slot < 10) return 0.1;
  return slot < 100 ? 1 : 10 ** (2 + Math.floor((slot - 100) / 90)) / 10;
}

/** The slot whose bucket `value` falls in; between 0 and 1 there is none, and it is 0.5 so that comparisons work. */
function slotOf(value: number): number {
  if (value < 1) return value <= 0 ? 0 : 0.5;
  if (value < 10) return Math.floor(value) + (Number.isInteger(value) ? 0 : 0.5);
  if (value < 100) return Math.floor(value);
  const exponent = Math.floor(Math.log10(value * (1 + 1e-13)));
  return 100 + (exponent - 2) * 90 + Math.floor(value / 10 ** (exponent - 1) + 1e-13) - 10;
}

export function sampleCount(slots: Slots): number {
  let total = 0;
  for (let i = 0; i < slots.length; i++) total += slots[i]!;
  return total;
}

/** The midpoint that makes the largest relative error smallest, times the count, summed up. */
export function sampleSum(slots: Slots): number {
  let sum = 0;
  for (let slot = 1; slot < slots.length; slot++) {
    const count = slots[slot]!;
    if (count === 0) continue;
    const low = slotLow(slot);
    const width = slotWidth(slot);
    sum += (low + width * (low / (low + low + width))) * count;
  }
  return sum;
}

/** Samples in buckets up to and including that of each bound. */
export function countsBelow(slots: Slots, bounds: readonly number[]): number[] {
  return bounds.map((bound) => {
    const last = slotOf(bound);
    let total = 0;
    for (let slot = 0; slot <= last && slot < slots.length; slot++) total += slots[slot]!;
    return total;
  });
}

/** The buckets that are not empty. */
export function filledBuckets(slots: Slots): { low: number; width: number; count: number }[] {
  const filled = [];
  for (let slot = 0; slot < slots.length; slot++) {
    if (slots[slot]! > 0) filled.push({ low: slotLow(slot), width: slotWidth(slot), count: slots[slot]! });
  }
  return filled;
}

/** NaN for each when nothing was recorded. `fractions` ascend. */
export function quantiles(slots: Slots, fractions: readonly number[]): number[] {
  const total = sampleCount(slots);
  if (total === 0) return fractions.map(() => Number.NaN);
  let slot = -1;
  let below = 0;
  let upTo = 0;
  const advance = () => {
    do slot++;
    while (!slots[slot]);
    below = upTo;
    upTo += slots[slot]!;
  };
  advance();
  return fractions.map((fraction) => {
    const rank = total * fraction;
    while (upTo < rank && upTo < total) advance();
    const width = slotWidth(slot);
    if (width === 0) return 0;
    const k = Math.ceil(rank - below) || 1;
    return slotLow(slot) + (k / (slots[slot]! + 1)) * width;
  });
}
