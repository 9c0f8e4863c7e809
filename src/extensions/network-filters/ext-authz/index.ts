import { MethodClient } from '#extension/grpc-service.ts';
import { compileMetadataMatcher } from '#extension/matchers/compile.ts';
import { defineNetworkFilter } from '#extension/network-filter.ts';
import { checkMethod, labelsOf } from '../../ext-authz/check-request.ts';
import { parseNetworkExtAuthz } from './config.ts';
import { NetworkExtAuthzFilter, NetworkExtAuthzStats } from './filter.ts';

export const networkExtAuthz = defineNetworkFilter({
  kind: 'network_filter',
  name: 'envoy.filters.network.ext_authz',
  type: 'envoy.extensions.filters.network.ext_authz.v3.ExtAuthz',
  parse: parseNetworkExtAuthz,
  prepare(config, context) {
    const shared = {
      config,
      stats: context.stats.scope(`ext_authz.${config.statPrefix}`).stats(NetworkExtAuthzStats),
      client: new MethodClient(config.service!, checkMethod, context),
      enabled: config.enabledMetadata && compileMetadataMatcher(config.enabledMetadata),
      labels: labelsOf(context.node.metadata ?? {}, config.labelsKey),
    };
    return (connection) => new NetworkExtAuthzFilter(shared, connection);
  },
});
