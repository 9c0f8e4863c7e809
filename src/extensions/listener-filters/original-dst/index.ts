import type { ParseContext } from '#config/parse-context.ts';
import { defineListenerFilter, ListenerFilterStatus } from '#extension/listener-filter.ts';
import { nativeSockets } from '#net/native-sockets.ts';

/** Gives a connection that iptables redirected here the address it was meant for. */
export const originalDst = defineListenerFilter({
  kind: 'listener_filter',
  name: 'envoy.filters.listener.original_dst',
  type: 'envoy.extensions.filters.listener.original_dst.v3.OriginalDst',
  parse(_message: object, at: ParseContext) {
    try {
      nativeSockets();
    } catch (cause) {
      at.unsupported(`the original destination ${(cause as Error).message}`, { cause });
    }
    return {};
  },
  prepare: () => ({
    needsBytes: false,
    inspect(socket) {
      const address = socket.originalDestination();
      if (address !== undefined) socket.restoreLocalAddress(address);
      return ListenerFilterStatus.Continue;
    },
  }),
});
