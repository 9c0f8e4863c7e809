// @bufbuild/cel, loaded when the first expression is met: 60 ms and 10 MB that others need not spend.
import { createRequire } from 'node:module';

export type CelLibrary = typeof import('@bufbuild/cel') &
  Pick<typeof import('@bufbuild/cel/ext'), 'strings'> &
  Pick<typeof import('@bufbuild/protobuf'), 'create'> &
  Pick<typeof import('@bufbuild/protobuf/wkt'), 'DurationSchema' | 'TimestampSchema'>;

let library: CelLibrary | undefined;

export function celLibrary(): CelLibrary {
  if (library === undefined) {
    const load = createRequire(import.meta.url);
    const { strings } = load('@bufbuild/cel/ext');
    const { create } = load('@bufbuild/protobuf');
    const { DurationSchema, TimestampSchema } = load('@bufbuild/protobuf/wkt');
    library = { ...load('@bufbuild/cel'), strings, create, DurationSchema, TimestampSchema } as CelLibrary;
  }
  return library;
}
