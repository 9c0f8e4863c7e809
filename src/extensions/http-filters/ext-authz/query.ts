// Query parameters that the service sets or removes. As in Envoy the others come out in the order of their names, too.

export function changedQuery(
  path: string,
  set: readonly { readonly key: string; readonly value: string }[],
  remove: readonly string[],
): string {
  const question = path.indexOf('?');
  const parameters = new Map<string, string[]>();
  if (question >= 0) {
    for (const part of path.slice(question + 1).split('&')) {
      if (part === '') continue;
      const equals = part.indexOf('=');
      const key = equals < 0 ? part : part.slice(0, equals);
      const values = parameters.get(key);
      const value = equals < 0 ? '' : part.slice(equals + 1);
      if (values === undefined) parameters.set(key, [value]);
      else values.push(value);
    }
  }
  for (const { key, value } of set) parameters.set(key, [value]);
  for (const key of remove) parameters.delete(key);
  const parts = [...parameters.keys()]
    .sort()
    .flatMap((key) => parameters.get(key)!.map((value) => `${key}=${value}`));
  const before = question < 0 ? path : path.slice(0, question);
  return parts.length === 0 ? before : `${before}?${parts.join('&')}`;
}
