import { addressText } from '../address-text.ts';
import type { AdminEndpoint } from '../endpoint.ts';
import { messagePage } from '../json-page.ts';
import type { ListenersOwner } from '../owners.ts';

export function listenersEndpoint(owner: ListenersOwner): AdminEndpoint {
  return {
    path: '/listeners',
    help: 'print listener info',
    mutates: false,
    parameters: [{ name: 'format', help: 'File format to use', choices: ['text', 'json'] }],
    handle({ query }) {
      const listeners = owner.listeners();
      if (query.get('format') === 'json') {
        return messagePage('envoy.admin.v3.Listeners', {
          listener_statuses: listeners.map(
            ({ name, addresses: [local_address, ...additional_local_addresses] }) => ({
              name,
              ...(local_address && { local_address }),
              additional_local_addresses,
            }),
          ),
        });
      }
      const lines = listeners.flatMap(({ name, addresses }) =>
        addresses.map((address) => `${name}::${addressText(address)}\n`),
      );
      return { body: lines.join('') };
    },
  };
}
