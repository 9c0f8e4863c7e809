// `DataSource`: bytes from a file, inline, or the environment. Read on the main thread when configuration is parsed.
import { readFileSync } from 'node:fs';
import type { ParseContext } from '#config/parse-context.ts';
import type { DataSource } from '#schema/messages/envoy/config/core/v3.ts';

/** Undefined: a problem was reported, in Envoy's words, which are others where it asks for the size of a file first. */
export function readDataSource(
  message: DataSource,
  at: ParseContext,
  asksForSize = true,
): Buffer | undefined {
  if (message.inline_string !== undefined) return Buffer.from(message.inline_string, 'utf8');
  if (message.inline_bytes !== undefined) return Buffer.from(message.inline_bytes);
  if (message.environment_variable !== undefined) {
    const value = process.env[message.environment_variable];
    if (value !== undefined) return Buffer.from(value, 'utf8');
    const problem = `Environment variable doesn't exist: ${message.environment_variable}`;
    at.field('environment_variable').fail(problem, { envoy: problem });
    return undefined;
  }
  if (message.filename === undefined) {
    at.fail('needs one of: filename, inline_bytes, inline_string, environment_variable');
    return undefined;
  }
  try {
    return readFileSync(message.filename);
  } catch (cause) {
    const isAbsent = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    const problem = !isAbsent
      ? `unable to read file: ${message.filename}`
      : asksForSize
        ? `file ${message.filename} does not exist`
        : `Invalid path: ${message.filename}`;
    at.field('filename').fail(problem, { got: message.filename, envoy: problem, cause });
    return undefined;
  }
}
