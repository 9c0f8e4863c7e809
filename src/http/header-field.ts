// A header by its name as configuration spells it, pseudo-headers included: which field of the header map it is, decided once.
import type { HeaderMap } from './header-map.ts';

export const HeaderField = {
  /** An ordinary header: look in the list. */
  Listed: 0,
  Method: 1,
  Scheme: 2,
  Authority: 3,
  Path: 4,
  Protocol: 5,
  Status: 6,
} as const;
export type HeaderField = (typeof HeaderField)[keyof typeof HeaderField];

/** `name` is lower-case. `host` is another word for `:authority`, as in Envoy. */
export function headerField(name: string): HeaderField {
  switch (name) {
    case ':method':
      return HeaderField.Method;
    case ':scheme':
      return HeaderField.Scheme;
    case ':authority':
    case 'host':
      return HeaderField.Authority;
    case ':path':
      return HeaderField.Path;
    case ':protocol':
      return HeaderField.Protocol;
    case ':status':
      return HeaderField.Status;
    default:
      return HeaderField.Listed;
  }
}

/** The first value, undefined when the header is absent. `field` is what `headerField(name)` said. */
export function firstValue(headers: HeaderMap, field: HeaderField, name: string): string | undefined {
  return field === HeaderField.Listed ? headers.get(name) : pseudo(headers, field);
}

/** All values joined by commas, undefined when the header is absent. */
export function joinedValue(headers: HeaderMap, field: HeaderField, name: string): string | undefined {
  return field === HeaderField.Listed ? headers.joined(name) : pseudo(headers, field);
}

function pseudo(headers: HeaderMap, field: HeaderField): string | undefined {
  let value = '';
  if (field === HeaderField.Path) value = headers.path;
  else if (field === HeaderField.Method) value = headers.method;
  else if (field === HeaderField.Authority)
    return headers.isAuthorityEmpty ? '' : headers.authority || undefined;
  else if (field === HeaderField.Scheme) value = headers.scheme;
  else if (field === HeaderField.Protocol) value = headers.protocol;
  else if (headers.status !== 0) value = String(headers.status);
  return value === '' ? undefined : value;
}
