// From plain configuration to a dns_filter of one listener in one worker.
import { prepareAccessLogs } from '#extension/access-logger.ts';
import { AccessLogType } from '#extension/formatter.ts';
import { RequestInfo } from '../http/request-info.ts';
import { AcceptedConnectionInfo } from '../listener/accepted-connection.ts';
import type { DataPlaneUdpContext } from '../udp/prepare-udp-proxy.ts';
import { LookupFamily } from '../upstream/discovery-config.ts';
import { resolverFor } from '../upstream/dns-resolver.ts';
import { DnsFilter, type DnsFilterParts } from './dns-filter.ts';
import type { DnsFilterConfig } from './dns-filter-config.ts';
import { metadataNamespace } from './dns-filter-log-format.ts';
import { DnsFilterStats } from './dns-filter-stats.ts';
import { QueryVerdict } from './dns-message.ts';

export function prepareDnsFilter(config: DnsFilterConfig, context: DataPlaneUdpContext): DnsFilter {
  const { forward } = config;
  const resolver = forward && resolverFor({ servers: forward.servers, searches: forward.searches });
  return new DnsFilter({
    config,
    stats: context.stats.scope(`dns_filter.${config.statPrefix}`).stats(DnsFilterStats),
    clusters: context.worker.clusters,
    timers: context.timers,
    resolve: async (name, version) =>
      (await resolver!.resolve(name, version === 4 ? LookupFamily.V4Only : LookupFamily.V6Only)).addresses,
    cancelResolving: () => resolver?.cancel(),
    log: accessLog(config, context),
  });
}

function accessLog(config: DnsFilterConfig, context: DataPlaneUdpContext): DnsFilterParts['log'] {
  const loggers = prepareAccessLogs(config.accessLogs, context.registry, context);
  if (loggers.length === 0) return () => {};
  const connection = new AcceptedConnectionInfo(0, '', '', context.listenerName);
  return (query, answers, code) => {
    const nowMs = performance.now();
    const info = new RequestInfo(connection, nowMs);
    info.endMs = nowMs;
    const isReadable = query.verdict === QueryVerdict.Fine;
    info.dynamicMetadata = {
      [metadataNamespace]: {
        ...(isReadable && { query_name: query.name, query_type: String(query.type), query_class: '1' }),
        answer_count: String(answers),
        response_code: String(code),
        parse_status: String(isReadable),
      },
    };
    for (const it of loggers) {
      it.log({
        info,
        requestHeaders: undefined,
        responseHeaders: undefined,
        responseTrailers: undefined,
        logType: AccessLogType.NotSet,
      });
    }
  };
}
