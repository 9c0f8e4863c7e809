import type { ParseContext } from '#config/parse-context.ts';
import {
  type FilterStateValueData,
  FilterStateValues,
  parseFilterStateValues,
} from '#extension/filter-state.ts';
import { AccessLogType } from '#extension/formatter.ts';
import { onlyFields } from '#extension/message-fields.ts';
import { defineNetworkFilter, NetworkFilterStatus } from '#extension/network-filter.ts';
import type { Config } from '#schema/messages/envoy/extensions/filters/network/set_filter_state/v3.ts';

interface SetFilterStateConfig {
  readonly onNewConnection: readonly FilterStateValueData[];
  readonly onTlsHandshake: readonly FilterStateValueData[];
  readonly onData: readonly FilterStateValueData[];
}

/** Leaves objects for the filters behind it: which cluster tcp_proxy takes, which server name it asks for, and the like. */
export const networkSetFilterState = defineNetworkFilter({
  kind: 'network_filter',
  name: 'envoy.filters.network.set_filter_state',
  type: 'envoy.extensions.filters.network.set_filter_state.v3.Config',
  parse(message: Config, at: ParseContext): SetFilterStateConfig {
    onlyFields(message, at, ['on_new_connection', 'on_downstream_tls_handshake', 'on_downstream_data']);
    const values = (field: 'on_new_connection' | 'on_downstream_tls_handshake' | 'on_downstream_data') =>
      parseFilterStateValues(message[field], at.field(field));
    return {
      onNewConnection: values('on_new_connection'),
      onTlsHandshake: values('on_downstream_tls_handshake'),
      onData: values('on_downstream_data'),
    };
  },
  prepare(config) {
    const onNewConnection = new FilterStateValues(config.onNewConnection);
    const onTlsHandshake = new FilterStateValues(config.onTlsHandshake);
    const onData = new FilterStateValues(config.onData);
    return (downstream) => {
      let hasData = false;
      const update = (values: FilterStateValues) => {
        if (values.isEmpty) return;
        values.update(downstream.filterState, {
          info: downstream.streamInfo,
          requestHeaders: undefined,
          responseHeaders: undefined,
          responseTrailers: undefined,
          logType: AccessLogType.NotSet,
        });
      };
      return {
        onNewConnection() {
          update(onNewConnection);
          return NetworkFilterStatus.Continue;
        },
        onHandshake() {
          update(onTlsHandshake);
        },
        onData() {
          if (!hasData) update(onData);
          hasData = true;
          return NetworkFilterStatus.Continue;
        },
      };
    };
  },
});
