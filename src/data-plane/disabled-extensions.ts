// `--disable-extensions`: what is built in, but shall not be used.
import { logger } from '#base/logger.ts';
import type { Extension } from '#extension/registry.ts';
import { categoryOf } from './own-node.ts';

const log = logger('misc');

/** `disabled`: `category/name`. */
export function withoutDisabled(
  all: readonly Extension[],
  disabled: readonly string[],
): readonly Extension[] {
  const names = new Map(all.map((it) => [`${categoryOf(it.kind)}/${it.name}`, it]));
  const removed = new Set<Extension>();
  for (const name of disabled) {
    const extension = names.get(name);
    if (extension !== undefined) {
      removed.add(extension);
      log.info(`disabled extension '${name}'`);
    } else if (name.includes('/')) log.warn(`failed to disable unknown extension '${name}'`);
    else log.warn(`failed to disable invalid extension name '${name}'`);
  }
  return removed.size === 0 ? all : all.filter((it) => !removed.has(it));
}
