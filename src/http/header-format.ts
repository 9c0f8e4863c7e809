// Values of headers may have two operators in forms of their own, which Envoy translates before it reads them.

const metadata = /%(UPSTREAM|DYNAMIC)_METADATA\(\s*(\[.*?\])\s*\)%/g;
const requestState = /%PER_REQUEST_STATE\((.*?)\)%/g;

/** `%UPSTREAM_METADATA(["a","b"])%` is `%UPSTREAM_METADATA(a:b)%`, `%PER_REQUEST_STATE(a)%` is `%FILTER_STATE(a:PLAIN)%`. */
export function translatedHeaderFormat(value: string): string {
  if (!value.includes('%')) return value;
  return value
    .replace(metadata, (whole, kind: string, list: string) => {
      const path = pathOf(list);
      return path === undefined ? whole : `%${kind}_METADATA(${path.join(':')})%`;
    })
    .replace(requestState, (_, key: string) => `%FILTER_STATE(${key}:PLAIN)%`);
}

/** Undefined: this is no list of names. */
function pathOf(text: string): readonly string[] | undefined {
  try {
    const list: unknown = JSON.parse(text);
    const isPath = Array.isArray(list) && list.length > 0 && list.every((it) => typeof it === 'string');
    return isPath ? list : undefined;
  } catch {
    return undefined;
  }
}
