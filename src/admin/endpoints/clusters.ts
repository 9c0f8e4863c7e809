import { toJson } from '#schema/json.ts';
import { message } from '#schema/registry.ts';
import { addressText } from '../address-text.ts';
import type { AdminEndpoint } from '../endpoint.ts';
import { nameFilter } from '../filter.ts';
import { jsonPage } from '../json-page.ts';
import type {
  CircuitBreakerLimits,
  ClusterStatus,
  ClustersOwner,
  HostHealth,
  HostStatus,
} from '../owners.ts';

export function clustersEndpoint(owner: ClustersOwner): AdminEndpoint {
  return {
    path: '/clusters',
    help: 'upstream cluster status',
    mutates: false,
    parameters: [{ name: 'filter', help: 'Regular expression (Google re2) for filtering clusters by name' }],
    async handle({ query }) {
      const filter = nameFilter(query, false);
      if (typeof filter !== 'function') return filter;
      const clusters = (await owner.clusters()).filter(({ name }) => filter(name));
      if (query.get('format') !== 'json') return { body: clusters.map(clusterText).join('') };
      return jsonPage(
        toJson(message('envoy.admin.v3.Clusters'), { cluster_statuses: clusters.map(clusterMessage) }),
      );
    },
  };
}

/** Envoy's names, and those of the fields of HostHealthStatus where there is one. */
const healthFlags: readonly {
  readonly flag: keyof HostHealth;
  readonly text: string;
  readonly field?: string;
}[] = [
  { flag: 'failedActiveHealthCheck', text: '/failed_active_hc', field: 'failed_active_health_check' },
  { flag: 'failedOutlierCheck', text: '/failed_outlier_check', field: 'failed_outlier_check' },
  { flag: 'failedEdsHealth', text: '/failed_eds_health' },
  { flag: 'degradedActiveHealthCheck', text: '/degraded_active_hc', field: 'failed_active_degraded_check' },
  { flag: 'degradedEdsHealth', text: '/degraded_eds_health' },
  { flag: 'pendingDynamicRemoval', text: '/pending_dynamic_removal', field: 'pending_dynamic_removal' },
  { flag: 'pendingActiveHealthCheck', text: '/pending_active_hc', field: 'pending_active_hc' },
  {
    flag: 'excludedViaImmediateHealthCheckFail',
    text: '/excluded_via_immediate_hc_fail',
    field: 'excluded_via_immediate_hc_fail',
  },
  { flag: 'activeHealthCheckTimeout', text: '/active_hc_timeout', field: 'active_hc_timeout' },
  { flag: 'edsStatusDraining', text: '/eds_status_draining' },
  { flag: 'degradedOutlierCheck', text: '/degraded_outlier_detection' },
];

function clusterText(cluster: ClusterStatus): string {
  const { name, outlier } = cluster;
  const lines: string[] = [];
  const add = (key: string, value: string | number | boolean) => lines.push(`${name}::${key}::${value}\n`);
  add('observability_name', cluster.observabilityName);
  if (outlier !== undefined) {
    add('outlier::success_rate_average', rate(outlier.successRateAverage));
    add('outlier::success_rate_ejection_threshold', rate(outlier.successRateEjectionThreshold));
    add('outlier::local_origin_success_rate_average', rate(outlier.localOriginSuccessRateAverage));
    add(
      'outlier::local_origin_success_rate_ejection_threshold',
      rate(outlier.localOriginSuccessRateEjectionThreshold),
    );
  }
  const limits = (priority: string, it: CircuitBreakerLimits) => {
    add(`${priority}::max_connections`, it.maxConnections);
    add(`${priority}::max_pending_requests`, it.maxPendingRequests);
    add(`${priority}::max_requests`, it.maxRequests);
    add(`${priority}::max_retries`, it.maxRetries);
  };
  limits('default_priority', cluster.defaultPriority);
  limits('high_priority', cluster.highPriority);
  add('added_via_api', cluster.addedViaApi);
  if (cluster.edsServiceName !== undefined) add('eds_service_name', cluster.edsServiceName);
  for (const host of cluster.hosts) lines.push(hostText(name, host));
  return lines.join('');
}

function hostText(cluster: string, host: HostStatus): string {
  const { stats } = host;
  const before = `${cluster}::${addressText(host.address)}`;
  const flags = healthFlags.filter(({ flag }) => host.health[flag]).map(({ text }) => text);
  const values: readonly (readonly [string, string | number | boolean])[] = [
    ['cx_active', stats.cxActive],
    ['cx_connect_fail', stats.cxConnectFail],
    ['cx_total', stats.cxTotal],
    ['rq_active', stats.rqActive],
    ['rq_error', stats.rqError],
    ['rq_pending_active', stats.rqPendingActive],
    ['rq_success', stats.rqSuccess],
    ['rq_timeout', stats.rqTimeout],
    ['rq_total', stats.rqTotal],
    ['hostname', host.hostname],
    ['health_flags', flags.join('') || 'healthy'],
    ['weight', host.weight],
    ['region', host.locality.region],
    ['zone', host.locality.zone],
    ['sub_zone', host.locality.subZone],
    ['canary', host.canary],
    ['priority', host.priority],
    ['success_rate', rate(host.successRate)],
    ['local_origin_success_rate', rate(host.localOriginSuccessRate)],
  ];
  return values.map(([key, value]) => `${before}::${key}::${value}\n`).join('');
}

/** Six significant digits, as Envoy prints a percentage. */
function rate(value: number): string {
  return `${Number(value.toPrecision(6))}`;
}

function clusterMessage(cluster: ClusterStatus): object {
  const { outlier } = cluster;
  return {
    name: cluster.name,
    added_via_api: cluster.addedViaApi,
    ...percent('success_rate_ejection_threshold', outlier?.successRateEjectionThreshold ?? -1),
    ...percent(
      'local_origin_success_rate_ejection_threshold',
      outlier?.localOriginSuccessRateEjectionThreshold ?? -1,
    ),
    host_statuses: cluster.hosts.map(hostMessage),
    circuit_breakers: {
      thresholds: [threshold('DEFAULT', cluster.defaultPriority), threshold('HIGH', cluster.highPriority)],
    },
    observability_name: cluster.observabilityName,
    ...(cluster.edsServiceName !== undefined && { eds_service_name: cluster.edsServiceName }),
  };
}

function hostMessage(host: HostStatus): object {
  const { stats, health, locality } = host;
  const counter = (name: string, value: number) => ({ name, value: BigInt(value) });
  const gauge = (name: string, value: number) => ({ type: 'GAUGE', name, value: BigInt(value) });
  const status: Record<string, unknown> = { eds_health_status: health.edsHealthStatus };
  for (const { flag, field } of healthFlags) if (field !== undefined && health[flag]) status[field] = true;
  return {
    address: host.address,
    stats: [
      counter('cx_connect_fail', stats.cxConnectFail),
      counter('cx_total', stats.cxTotal),
      counter('rq_error', stats.rqError),
      counter('rq_success', stats.rqSuccess),
      counter('rq_timeout', stats.rqTimeout),
      counter('rq_total', stats.rqTotal),
      gauge('cx_active', stats.cxActive),
      gauge('rq_active', stats.rqActive),
      gauge('rq_pending_active', stats.rqPendingActive),
    ],
    health_status: status,
    ...percent('success_rate', host.successRate),
    weight: host.weight,
    hostname: host.hostname,
    priority: host.priority,
    ...percent('local_origin_success_rate', host.localOriginSuccessRate),
    locality: { region: locality.region, zone: locality.zone, sub_zone: locality.subZone },
  };
}

/** Absent below zero, which says that there is none yet. */
function percent(field: string, value: number): object {
  return value < 0 ? {} : { [field]: { value } };
}

function threshold(priority: string, limits: CircuitBreakerLimits): object {
  return {
    priority,
    max_connections: limits.maxConnections,
    max_pending_requests: limits.maxPendingRequests,
    max_requests: limits.maxRequests,
    max_retries: limits.maxRetries,
  };
}
