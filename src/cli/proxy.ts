// `chancery proxy`, and the `envoy` command: Envoy's flags in, its exit codes and its contract of outputs out.
import { randomInt } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { LogLevel, type LogSettings, logger, logs, parseLogLevel } from '#base/logger.ts';
import { systemErrorText } from '#base/system-errors.ts';
import type { ConfigError } from '#config/config-error.ts';
import { formatProblems } from '#config/format-problems.ts';
import type { LoadedBootstrap, LoadOptions } from '#config/load.ts';
import type { Bootstrap } from '#schema/messages/envoy/config/bootstrap/v3.ts';
import { type EnvoyOptions, parseEnvoyFlags } from './envoy-flags.ts';
import { hotRestartVersion, versionLine } from './version.ts';
import { startThreads } from './worker-threads.ts';

export async function run(args: readonly string[]): Promise<number | undefined> {
  const program = process.env.CHANCERY_PROGRAM ?? 'chancery proxy';
  const line = parseEnvoyFlags(args, program);
  switch (line.kind) {
    case 'error':
      process.stderr.write(line.error);
      return 1;
    case 'print':
      process.stdout.write(line.text);
      return 0;
    case 'version':
      process.stdout.write(`\n${versionLine(program)}\n\n`);
      return 0;
    case 'hot-restart-version':
      process.stderr.write(hotRestartVersion(line.isDisabled));
      return 0;
    case 'run':
      return runWith(line.options);
  }
}

async function runWith(options: EnvoyOptions): Promise<number | undefined> {
  try {
    logs.configure(logSettings(options));
  } catch (error) {
    return refuse(options, fileProblem(options.logPath!, error as NodeJS.ErrnoException));
  }
  const config = logger('config');
  for (const note of options.notes) config.warn(note);
  const isValidation = options.mode === 'validate';

  if (options.configPath === '' && options.configYaml === '') {
    return refuse(
      options,
      'At least one of --config-path or --config-yaml or Options::configProto() should be non-empty',
    );
  }
  if (!isValidation) announce(options);
  // Before the schema and the rules are even imported.
  const threads = options.mode === 'serve' ? startThreads(options) : [];
  const { loadBootstrap } = await import('#config/load.ts');
  const loaded = await loadBootstrap(
    { file: options.configPath, yaml: options.configYaml },
    loadOptions(options),
  );
  logWarnings(loaded.problems);
  if (!loaded.ok) {
    const first = loaded.problems.find((it) => it.severity === 'error')!;
    return refuse(options, first.envoy ?? first.message, loaded);
  }
  if (isValidation) {
    const { logRuntime, logSections } = await import('#data-plane/observe/start-log.ts');
    const bootstrap = loaded.bootstrap as unknown as Bootstrap;
    logRuntime(bootstrap);
    logSections(bootstrap);
    process.stdout.write(`configuration '${options.configPath}' OK\n`);
    return 0;
  }
  const { serve } = await import('./serve.ts');
  return serve(loaded, options, threads);
}

export function loadOptions(options: EnvoyOptions): LoadOptions {
  return {
    allowUnknownStaticFields: options.allowUnknownStaticFields,
    rejectUnknownDynamicFields: options.rejectUnknownDynamicFields,
    ignoreUnknownDynamicFields: options.ignoreUnknownDynamicFields,
    skipDeprecatedLogs: options.skipDeprecatedLogs,
    serviceNode: options.serviceNode,
    serviceCluster: options.serviceCluster,
    isStart: options.mode !== 'validate',
  };
}

export function logSettings(options: EnvoyOptions): LogSettings {
  return {
    level: parseLogLevel(options.logLevel)!,
    componentLevels: Object.fromEntries(
      options.componentLogLevels.map(([component, level]) => [component, parseLogLevel(level)!]),
    ),
    format: options.logFormat,
    escaped: options.logFormatEscaped,
    path: options.logPath,
    fineGrain: options.fineGrainLogging,
  };
}

/** What two processes of one service would find each other by. */
function announce({
  restartEpoch,
  baseId,
  useDynamicBaseId,
  baseIdPath,
  disableHotRestart,
}: EnvoyOptions): void {
  const id = disableHotRestart ? 0 : useDynamicBaseId ? randomInt(0x1000_0000) : baseId;
  const version = hotRestartVersion(disableHotRestart);
  if (baseIdPath !== '' && !disableHotRestart) {
    try {
      writeFileSync(baseIdPath, String(id));
    } catch {
      logger('misc').critical(`cannot open base id output file ${baseIdPath} for writing.`);
    }
  }
  logger('main').info(`initializing epoch ${restartEpoch} (base id=${id}, hot restart version=${version})`);
}

type Located = Pick<LoadedBootstrap, 'problems' | 'sources'>;

/** The line that scripts look for, and the exit code. Why the proxy does not start is said whatever the log level is. */
export function refuse(options: EnvoyOptions, reason: string, located?: Located): number {
  const main = logger('main');
  const isValidation = options.mode === 'validate';
  if (isValidation) main.critical(`error initializing configuration '${options.configPath}': ${reason}`);
  else {
    const what = [options.configYaml, options.configPath].filter((it) => it !== '').join(' ');
    main.critical(`error \`${reason}\` initializing config '${what}'`);
    main.info('exiting');
  }
  if (located === undefined) {
    if (!isValidation) process.stderr.write(`${reason}\n`);
  } else if (!isValidation || main.level <= LogLevel.Critical) printErrors(located);
  return 1;
}

/** A log file that cannot be opened. */
function fileProblem(path: string, { code, message }: NodeJS.ErrnoException): string {
  const reason = systemErrorText(code) ?? message;
  return `Failed to open log-file '${path}'. e.what(): unable to open file '${path}': ${reason}`;
}

/** Every mistake, with its place, behind the line in Envoy's words. */
function printErrors({ problems, sources }: Located): void {
  const color = (process.stderr.isTTY ?? false) && !process.env.NO_COLOR;
  const errors = problems.filter((it) => it.severity === 'error');
  process.stderr.write(formatProblems(errors, sources, 'text', { color }));
}

export function logWarnings(problems: readonly ConfigError[]): void {
  const misc = logger('misc');
  const config = logger('config');
  for (const it of problems) {
    if (it.severity === 'error') continue;
    const place = it.line === undefined ? '' : ` (${it.file}:${it.line}:${it.column})`;
    const text = `${it.envoy ?? it.message}${it.suggestion === undefined ? '' : `; ${it.suggestion}`}${place}`;
    if (it.rule === 'deprecated-field' || it.rule === 'work-in-progress') misc.warn(text);
    else if (it.severity === 'note') config.info(text);
    else config.warn(text);
  }
}
