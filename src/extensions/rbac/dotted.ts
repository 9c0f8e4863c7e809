/** A part of a statistic's name, set off from what follows. */
export function dotted(prefix: string): string {
  return prefix === '' || prefix.endsWith('.') ? prefix : `${prefix}.`;
}
