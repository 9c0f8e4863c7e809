import type { ParseContext } from '#config/parse-context.ts';
import { FilterStateValues, parseFilterStateValues } from '#extension/filter-state.ts';
import { AccessLogType } from '#extension/formatter.ts';
import { defineListenerFilter, ListenerFilterStatus } from '#extension/listener-filter.ts';
import { onlyFields } from '#extension/message-fields.ts';
import type { Config } from '#schema/messages/envoy/extensions/filters/listener/set_filter_state/v3.ts';

/** Leaves objects for everybody behind it when a socket is accepted. */
export const listenerSetFilterState = defineListenerFilter({
  kind: 'listener_filter',
  name: 'envoy.filters.listener.set_filter_state',
  type: 'envoy.extensions.filters.listener.set_filter_state.v3.Config',
  parse(message: Config, at: ParseContext) {
    onlyFields(message, at, ['on_accept']);
    return parseFilterStateValues(message.on_accept, at.field('on_accept'));
  },
  prepare(config) {
    const values = new FilterStateValues(config);
    return {
      needsBytes: false,
      inspect(socket) {
        socket.info.filterState ??= new Map();
        values.update(socket.info.filterState, {
          info: socket.streamInfo,
          requestHeaders: undefined,
          responseHeaders: undefined,
          responseTrailers: undefined,
          logType: AccessLogType.NotSet,
        });
        return ListenerFilterStatus.Continue;
      },
    };
  },
});
