// Which problems are only the shadow of another one.

import type { ConfigError } from './config-error.ts';

/** What could not be read is missing, and what is wrong inside has a cause: those are no second mistakes. */
export function isConsequence(problem: ConfigError, error: ConfigError): boolean {
  if (problem === error || problem.severity === 'note') return false;
  if (isInside(error.path, problem.path)) return problem.severity === 'error';
  if (isInside(problem.path, error.path)) return true;
  if (error.rule !== 'unknown-field' || problem.rule !== 'missing-required') return false;
  const parent = error.path.slice(0, error.path.lastIndexOf('.'));
  const field = problem.path.slice(problem.path.lastIndexOf('.') + 1);
  return (
    isInside(problem.path, parent) &&
    (error.got === '<<' || error.suggestion?.includes(`"${field}"`) === true)
  );
}

function isInside(path: string, outer: string): boolean {
  return path === outer || path.startsWith(`${outer}.`) || path.startsWith(`${outer}[`);
}
