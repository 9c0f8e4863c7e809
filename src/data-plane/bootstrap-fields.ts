// What of the bootstrap is not implemented: refused where the proxy would serve something else than was asked for, warned about
// where only something around it is missing. What is not named here is implemented, or has no effect in this design.
import type { ParseContext } from '#config/parse-context.ts';
import type { Bootstrap } from '#schema/messages/envoy/config/bootstrap/v3.ts';

const refused: readonly (keyof Bootstrap)[] = [
  'hds_config',
  'header_prefix',
  'bootstrap_extensions',
  'config_sources',
  'default_config_source',
  'default_socket_interface',
  'certificate_provider_instances',
  'xds_delegate_extension',
  'xds_config_tracker_extension',
  'listener_manager',
];

/** With what is missing without them. */
const warned: Partial<Record<keyof Bootstrap, string>> = {
  stats_sinks: 'statistics are served by the admin interface only',
  tracing: 'requests are not traced',
  watchdog: 'there is no watchdog',
  watchdogs: 'there is no watchdog',
  fatal_actions: 'no action runs when the process dies',
  flags_path: 'no flag files are read',
  stats_eviction_interval: 'unused metrics are kept',
  enable_dispatcher_stats: 'there are no dispatcher statistics',
  use_tcp_for_dns_lookups: 'names are looked up over UDP first',
  perf_tracing_file_path: 'no trace is written',
  memory_allocator_manager: 'the runtime manages its memory itself',
  enable_worker_cpu_affinity: 'workers run on any core',
};

export function checkBootstrapFields(bootstrap: Bootstrap, at: ParseContext): void {
  for (const name of refused) if (isSet(bootstrap[name])) at.field(name).unsupported();
  for (const [name, effect] of Object.entries(warned)) {
    if (isSet(bootstrap[name as keyof Bootstrap])) {
      at.field(name).warn(`is not supported by chancery: ${effect}`, { rule: 'unsupported' });
    }
  }
  const { cluster_manager } = bootstrap;
  if (cluster_manager !== undefined) {
    const here = at.field('cluster_manager');
    for (const name of [
      'local_cluster_name',
      'outlier_detection',
      'upstream_bind_config',
      'load_stats_config',
    ] as const)
      if (isSet(cluster_manager[name])) here.field(name).unsupported();
  }
  const engine = bootstrap.default_regex_engine?.typed_config?.['@type'];
  if (engine !== undefined && !engine.endsWith('/envoy.extensions.regex_engines.v3.GoogleRE2'))
    at.field('default_regex_engine').unsupported();
}

function isSet(value: unknown): boolean {
  if (value === undefined || value === '' || value === false) return false;
  if (typeof value !== 'object' || value === null) return true;
  return !Array.isArray(value) && Object.getPrototypeOf(value) !== Object.prototype
    ? true
    : Object.keys(value).length > 0;
}
