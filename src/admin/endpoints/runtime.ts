import { logger } from '#base/logger.ts';
import { type AdminEndpoint, ok } from '../endpoint.ts';
import { jsonPage } from '../json-page.ts';
import type { RuntimeOwner } from '../owners.ts';

const misc = logger('misc');
const noAdminLayer = 'No admin layer specified';

export function runtimeEndpoints(owner: RuntimeOwner): AdminEndpoint[] {
  return [
    {
      path: '/runtime',
      help: 'print runtime values',
      mutates: false,
      handle() {
        const entries = [...owner.entries()]
          .sort((a, b) => (a.key < b.key ? -1 : 1))
          .map(({ key, layerValues, finalValue }): [string, object] => [
            key,
            { layer_values: layerValues, final_value: finalValue },
          ]);
        return jsonPage({ layers: owner.layers(), entries: Object.fromEntries(entries) });
      },
    },
    {
      path: '/runtime_modify',
      help: 'Adds or modifies runtime values as passed in query parameters. To delete a previously added key, use an empty string as the value. Note that deletion only applies to overrides added via this endpoint; values loaded from disk can be modified via override but not deleted. E.g. ?key1=value1&key2=value2...',
      mutates: true,
      handle({ formOrQuery }) {
        const values = formOrQuery.entries;
        if (values.length === 0) {
          return {
            status: 400,
            body: `usage: /runtime_modify?key1=value1&key2=value2&keyN=valueN
       or send the parameters as form values
use an empty value to remove a previously added override`,
          };
        }
        if (owner.setAdminLayer(values)) return ok;
        misc.error(noAdminLayer);
        return { status: 503, body: noAdminLayer };
      },
    },
  ];
}
