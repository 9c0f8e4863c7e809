// Runs the proxy until it is told to stop: what is behind `chancery proxy` once the configuration has been read.
import { logger, logs } from '#base/logger.ts';
import type { ConfigError } from '#config/config-error.ts';
import type { LoadedBootstrap } from '#config/load.ts';
import { locate } from '#config/locate.ts';
import { ListenError } from '#data-plane/listener/listen-error.ts';
import { logExtensions } from '#data-plane/observe/start-log.ts';
import { loadRegistry, parseBootstrap, Server } from '#data-plane/server.ts';
import type { Thread } from '#data-plane/worker-thread.ts';
import type { Bootstrap } from '#schema/messages/envoy/config/bootstrap/v3.ts';
import type { EnvoyOptions } from './envoy-flags.ts';
import { processFacts } from './process-facts.ts';
import { loadOptions, logSettings, logWarnings, refuse } from './proxy.ts';
import { extensionModules, workerCount } from './worker-threads.ts';

/** `threads`: those of the first workers, which are on their way up. */
export async function serve(
  loaded: LoadedBootstrap,
  options: EnvoyOptions,
  threads: readonly Thread[],
): Promise<number | undefined> {
  const main = logger('main');
  const bootstrap = loaded.bootstrap as unknown as Bootstrap;
  const problems: ConfigError[] = [];
  const registry = await loadRegistry(extensionModules, options.disabledExtensions);
  logExtensions(registry);
  const config = parseBootstrap(bootstrap, registry, problems);
  locate(problems, loaded.sources);
  logWarnings(problems);
  const first = problems.find((it) => it.severity === 'error');
  if (first !== undefined) {
    return refuse(options, first.envoy ?? first.message, { problems, sources: loaded.sources });
  }
  if (options.mode === 'init_only') return 0;
  if (config.logFormat !== undefined && options.logFormat !== undefined) {
    return refuse(
      options,
      'Only one of ApplicationLogConfig.log_format or CLI option --log-format can be specified.',
    );
  }
  const logging = logSettings({ ...options, logFormat: config.logFormat ?? options.logFormat });
  logs.configure(logging);

  let server: Server | undefined;
  const shutDown = () => {
    main.info('shutting down server instance');
    void server?.close().then(() => {
      main.info('main dispatch loop exited');
      main.info('exiting');
      process.exit(0);
    });
  };
  try {
    server = await Server.start(bootstrap, registry, config, {
      workers: workerCount(options),
      extensionModules,
      threads,
      logFlush: { intervalMs: options.fileFlushIntervalMs, minBytes: options.fileFlushMinBytes },
      process: processFacts(options, shutDown, loaded.problems),
      loadOptions: loadOptions(options),
      logs: logging,
    });
  } catch (error) {
    if (!(error instanceof ListenError)) throw error;
    return refuse(options, error.message);
  }
  main.info('starting main dispatch loop');
  setTimeout(tidy, 500).unref();
  // The names are Envoy's.
  for (const [signal, name] of [
    ['SIGTERM', 'ENVOY_SIGTERM'],
    ['SIGINT', 'SIGINT'],
  ] as const) {
    process.on(signal, () => {
      main.warn(`caught ${name}`);
      shutDown();
    });
  }
  const { operator } = server;
  process.on('SIGUSR1', () => operator.reopenLogs());
  process.on('SIGHUP', () =>
    main.warn('caught and eating SIGHUP. See documentation for how to hot restart.'),
  );
  return undefined;
}

/**
 * Gives back what reading the configuration has left behind: a third of the memory when that is large. The flag of V8 that shows its
 * collector must not be there at the start: Node's own code, compiled beforehand, is refused with any other flags than its own.
 */
function tidy(): void {
  const { setFlagsFromString } = process.getBuiltinModule('node:v8');
  const { runInNewContext } = process.getBuiltinModule('node:vm');
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as NonNullable<typeof globalThis.gc>;
  setFlagsFromString('--no-expose-gc');
  void collect({ type: 'major', execution: 'async', flavor: 'last-resort' });
}
