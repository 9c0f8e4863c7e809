/**
 * Whether a response says goodbye `elapsedMs` into a drain of `drainSeconds`: as likely as time has passed, in whole seconds as Envoy
 * counts them: in the last second it is certain. `random` is at least 0 and below 1.
 */
export function saysGoodbye(elapsedMs: number, drainSeconds: number, random: number): boolean {
  const remaining = Math.floor(drainSeconds - elapsedMs / 1000);
  return remaining <= 0 || drainSeconds - remaining > Math.floor(random * drainSeconds);
}
