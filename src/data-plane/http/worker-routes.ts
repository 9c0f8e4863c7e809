// The route configurations of a worker that came by RDS, and the connection managers that have them compiled.
import { collectTakings, onRelease, type Taken } from '#base/takings.ts';
import { type CompileServices, compileRoutes } from './route-compile.ts';
import { noRoutes, type RouteConfigData } from './route-config.ts';
import type { RouteTable } from './route-entry.ts';

interface User {
  readonly services: CompileServices;
  readonly onRoutes: (routes: RouteTable) => void;
  table: Taken<RouteTable>;
}

export class WorkerRoutes {
  readonly #configs = new Map<string, RouteConfigData>();
  readonly #users = new Map<string, Set<User>>();

  /** The routes now; later ones go to `onRoutes`, until what was taken is given back. */
  use(key: string, services: CompileServices, onRoutes: (routes: RouteTable) => void): RouteTable {
    const user: User = { services, onRoutes, table: compile(this.#configs.get(key), services) };
    const users = this.#users.get(key) ?? new Set();
    this.#users.set(key, users.add(user));
    onRelease(() => {
      users.delete(user);
      user.table.release();
    });
    return user.table.value;
  }

  /** Undefined: nobody has use for it any more. Requests under way keep what they have. */
  set(key: string, config: RouteConfigData | undefined): void {
    if (config === undefined) {
      this.#configs.delete(key);
      return;
    }
    this.#configs.set(key, config);
    for (const user of this.#users.get(key) ?? []) {
      const before = user.table;
      user.table = compile(config, user.services);
      user.onRoutes(user.table.value);
      before.release();
    }
  }
}

function compile(config: RouteConfigData | undefined, services: CompileServices): Taken<RouteTable> {
  return collectTakings(() => compileRoutes(config ?? noRoutes, services));
}
