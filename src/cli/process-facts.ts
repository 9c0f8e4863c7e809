// What the admin interface shows of the command line.
import { defaultLogFormat, fineGrainLogFormat } from '#base/log-format.ts';
import type { ConfigError } from '#config/config-error.ts';
import { deprecatedUses } from '#config/deprecated-uses.ts';
import type { ProcessFacts } from '#data-plane/operator.ts';
import { create } from '#schema/create.ts';
import type { EnvoyOptions } from './envoy-flags.ts';
import { hotRestartVersion, version } from './version.ts';
import { workerCount } from './worker-threads.ts';

const modes = { serve: 'Serve', validate: 'Validate', init_only: 'InitOnly' } as const;

/** `problems`: of the configuration, of which these are no errors. */
export function processFacts(
  options: EnvoyOptions,
  quit: () => void,
  problems: readonly ConfigError[],
): ProcessFacts {
  const concurrency = workerCount(options);
  return {
    version: version(),
    hotRestartVersion: hotRestartVersion(options.disableHotRestart),
    concurrency,
    adminAddressPath: options.adminAddressPath || undefined,
    drainTimeMs: options.drainTimeMs,
    drainsImmediately: options.drainStrategy === 'immediate',
    fixedTags: options.statsTags,
    workInProgress: problems.filter((it) => it.rule === 'work-in-progress').length,
    deprecatedUses: deprecatedUses(problems),
    quit,
    commandLineOptions: create('envoy.admin.v3.CommandLineOptions', {
      base_id: options.baseId,
      use_dynamic_base_id: options.useDynamicBaseId,
      skip_hot_restart_on_no_parent: options.skipHotRestartOnNoParent,
      skip_hot_restart_parent_stats: options.skipHotRestartParentStats,
      base_id_path: options.baseIdPath,
      concurrency,
      config_path: options.configPath,
      config_yaml: options.configYaml,
      allow_unknown_static_fields: options.allowUnknownStaticFields,
      reject_unknown_dynamic_fields: options.rejectUnknownDynamicFields,
      ignore_unknown_dynamic_fields: options.ignoreUnknownDynamicFields,
      skip_deprecated_logs: options.skipDeprecatedLogs,
      admin_address_path: options.adminAddressPath,
      local_address_ip_version: options.localAddressIpVersion,
      log_level: options.logLevel === 'warn' ? 'warning' : options.logLevel,
      component_log_level: options.componentLogLevels.map((it) => it.join(':')).join(','),
      log_format: options.logFormat ?? (options.fineGrainLogging ? fineGrainLogFormat : defaultLogFormat),
      log_format_escaped: options.logFormatEscaped,
      log_path: options.logPath ?? '',
      service_cluster: options.serviceCluster,
      service_node: options.serviceNode,
      service_zone: options.serviceZone,
      file_flush_interval: duration(options.fileFlushIntervalMs),
      // Envoy does not fill in these two.
      file_flush_min_size: 0,
      drain_time: duration(options.drainTimeMs),
      drain_strategy: options.drainStrategy === 'gradual' ? 'Gradual' : 'Immediate',
      parent_shutdown_time: duration(options.parentShutdownTimeMs),
      mode: modes[options.mode],
      disable_hot_restart: options.disableHotRestart,
      restart_epoch: options.restartEpoch,
      cpuset_threads: options.cpusetThreads,
      disabled_extensions: options.disabledExtensions,
      enable_fine_grain_logging: options.fineGrainLogging,
      socket_path: options.socketPath,
      socket_mode: 0,
      stats_tag: options.statsTags.map((it) => it.join(':')),
    }),
  };
}

const duration = (ms: number) => ({ seconds: Math.floor(ms / 1000), nanos: (ms % 1000) * 1_000_000 });
