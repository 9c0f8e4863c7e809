// What an update that changes nothing but filter chains does to those that are there.

export interface ChainUpdate {
  /** Of this listener. */
  readonly id: number;
  /** For each chain of the new configuration its place among the old ones, -1 for one that is new or changed. */
  readonly keeps: readonly number[];
  readonly keepsDefault: boolean;
  /** For connections of chains that are left behind. */
  readonly drainMs: number;
}
