// How names are looked up in the table of a dns_filter: both for those who make it and for those who ask it.
export const defaultTtlSeconds = 300;

/** The last two labels; a name of one label is its own. */
export function domainSuffix(name: string): string {
  const last = name.lastIndexOf('.');
  if (last <= 0) return name;
  return name.slice(name.lastIndexOf('.', last - 1) + 1);
}
