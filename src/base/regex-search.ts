// Searching with RE2's syntax in linear time: a match anywhere in the text, for names that operators and tools filter.
import { RE2JS } from 're2js';

/** The pattern must have passed `regexProblem`. */
export function compileSearch(pattern: string): (text: string) => boolean {
  const regex = RE2JS.compile(pattern);
  return (text) => regex.test(text);
}
