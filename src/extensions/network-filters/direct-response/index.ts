import type { ParseContext } from '#config/parse-context.ts';
import { readDataSource } from '#extension/data-source.ts';
import { defineNetworkFilter, NetworkFilterStatus } from '#extension/network-filter.ts';
import { CloseType } from '#net/connection.ts';
import type { Config } from '#schema/messages/envoy/extensions/filters/network/direct_response/v3.ts';

/** Answers every connection with the same bytes and closes it. */
export const networkDirectResponse = defineNetworkFilter({
  kind: 'network_filter',
  name: 'envoy.filters.network.direct_response',
  type: 'envoy.extensions.filters.network.direct_response.v3.Config',
  terminal: true,
  parse: (message: Config, at: ParseContext) => ({
    // As latin1 text: plain data for the workers.
    response:
      message.response === undefined
        ? ''
        : (readDataSource(message.response, at.field('response'))?.toString('latin1') ?? ''),
  }),
  prepare({ response }) {
    const bytes = Buffer.from(response, 'latin1');
    return (downstream) => ({
      onNewConnection() {
        downstream.streamInfo.details = 'direct_response';
        if (bytes.length > 0) downstream.write(bytes);
        downstream.close(CloseType.FlushWrite, '');
        return NetworkFilterStatus.StopIteration;
      },
    });
  },
});
