// The plain data of `scoped_routes` -> a table, in a worker.
import { type CompileServices, compileRoutes } from './route-compile.ts';
import { fragmentSeparator, ScopedRouteTable } from './scoped-routes.ts';
import type { ScopedRoutesData } from './scoped-routes-config.ts';

export function compileScopedRoutes(data: ScopedRoutesData, services: CompileServices): ScopedRouteTable {
  const tables = new Map(
    data.scopes.map(({ key, routes }) => [key.join(fragmentSeparator), compileRoutes(routes, services)]),
  );
  return new ScopedRouteTable(data.name, data.fragments, tables);
}
