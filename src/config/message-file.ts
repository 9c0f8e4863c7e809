// A message that a configuration keeps in a file of its own, such as a table of names. Read when the configuration is parsed.
import { readFileSync } from 'node:fs';
import type { MessageType } from '#schema/descriptor.ts';
import { message as messageType } from '#schema/registry.ts';
import type { ConfigError } from './config-error.ts';
import { readMessage } from './read-message.ts';
import { parseText } from './source-text.ts';

/** Throws with everything that is wrong with the file, in Envoy's words where it has some. */
export function readMessageFile(file: string, type: string): object {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT')
      throw new Error(`Invalid path: ${file}`, { cause });
    throw cause;
  }
  if (!/\.(json|ya?ml)$/.test(file)) throw new Error(`${file} is neither .json nor .yaml`);
  const problems: ConfigError[] = [];
  const text = parseText(file, bytes, file.endsWith('.json') ? 'json' : 'yaml', problems);
  const message =
    text.isBroken === true
      ? {}
      : readMessage(messageType(type) as MessageType, text.source.tree, problems, '', {
          unknownFields: 'ignore',
        });
  const errors = problems.filter((it) => it.severity === 'error');
  if (errors.length > 0) throw new Error(errors.map((it) => it.message).join(', '));
  return message;
}
