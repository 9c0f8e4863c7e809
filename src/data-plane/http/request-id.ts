// x-request-id: UUID version 4 whose 15th digit says why it is traced, as Envoy packs it.
import { randomFillSync } from 'node:crypto';

const hex: string[] = [];
for (let i = 0; i < 256; i++) hex.push((i + 256).toString(16).slice(1));

const pool = Buffer.alloc(16_384);
let at = pool.length;

/** Not traced: the version digit stays 4. */
export function newRequestId(): string {
  if (at === pool.length) {
    randomFillSync(pool);
    at = 0;
  }
  const p = at;
  at += 16;
  // Not a template, which would ask of every piece whether it is a string.
  return (
    hex[pool[p]!]! +
    hex[pool[p + 1]!]! +
    hex[pool[p + 2]!]! +
    hex[pool[p + 3]!]! +
    '-' +
    hex[pool[p + 4]!]! +
    hex[pool[p + 5]!]! +
    '-' +
    hex[(pool[p + 6]! & 0x0f) | 0x40]! +
    hex[pool[p + 7]!]! +
    '-' +
    hex[(pool[p + 8]! & 0x3f) | 0x80]! +
    hex[pool[p + 9]!]! +
    '-' +
    hex[pool[p + 10]!]! +
    hex[pool[p + 11]!]! +
    hex[pool[p + 12]!]! +
    hex[pool[p + 13]!]! +
    hex[pool[p + 14]!]! +
    hex[pool[p + 15]!]!
  );
}

const reasonAt = 14;

/** A UUID that says it is not traced; anything else as it is. */
export function withoutTraceReason(id: string): string {
  return id.length !== 36 || id[reasonAt] === '4' ? id : `${id.slice(0, reasonAt)}4${id.slice(reasonAt + 1)}`;
}
