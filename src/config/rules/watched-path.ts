// Paths that are watched for files that move there: what Envoy wants of them, and its words.

import { statSync } from 'node:fs';
import { systemErrorText } from '#base/system-errors.ts';

/** Why a file, or a folder whose path ends with a slash, cannot be watched; undefined when it can. The file itself may be missing. */
export function watchProblem(path: string): string | undefined {
  const slash = path.lastIndexOf('/');
  if (slash < 0) return `invalid file path ${path}`;
  try {
    statSync(slash === 0 ? '/' : path.slice(0, slash));
    return undefined;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return `unable to add filesystem watch for file ${path}: ${systemErrorText(code) ?? message}`;
  }
}
