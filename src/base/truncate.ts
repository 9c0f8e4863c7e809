/** `list.length = length` for the short lists of a request: setting the length of an array is a call into the engine, 60 ns whatever it does. */
export function truncate(list: unknown[], length: number): void {
  while (list.length > length) list.pop();
}
