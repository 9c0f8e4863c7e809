// The proxy's own log, in Envoy's words: components, levels that change while it runs, formats. Each thread has its own
// `Logs`, configured alike, and writes whole lines straight to the file descriptor.
import { closeSync, openSync, readlinkSync, writeSync } from 'node:fs';
import { dirname, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { getCallSites } from 'node:util';
import {
  compileLogFormat,
  defaultLogFormat,
  fineGrainLogFormat,
  type LogFormat,
  levelNames,
  type SourceLocation,
} from './log-format.ts';

export const LogLevel = { Trace: 0, Debug: 1, Info: 2, Warning: 3, Error: 4, Critical: 5, Off: 6 } as const;
export type LogLevel = (typeof LogLevel)[keyof typeof LogLevel];

/** Envoy's components, in the order it lists them: levels can be given to all of them, whether they are ours or not. */
export const componentNames =
  `a2a admin ai_protocol_manager alternate_protocols_cache aws assert backtrace basic_auth cache_filter client config
  connection conn_handler compression credential_injector decompression dns dubbo envoy_bug ext_authz ext_proc rocketmq
  file filter forward_proxy geolocation grpc happy_eyeballs hc health_checker http http2 hystrix init io jwt json_rpc
  kafka key_value_store lua local_rate_limit main matcher mcp misc mongo multi_connection notification oauth2 quic
  quic_stream pool rate_limit_quota rbac rds redis router runtime stats secret sse tap testing thrift tracing upstream
  udp wasm websocket golang stats_sinks dynamic_modules ip_tagging`.split(/\s+/);

export function parseLogLevel(text: string): LogLevel | undefined {
  const level = (levelNames as readonly string[]).indexOf(text === 'warn' ? 'warning' : text);
  return level < 0 ? undefined : (level as LogLevel);
}

/** Plain data: it is sent to the workers. */
export interface LogSettings {
  /** `-l`. */
  readonly level: LogLevel;
  /** `--component-log-level`, by component. */
  readonly componentLevels?: Readonly<Record<string, LogLevel>>;
  /** `--log-format`; the default depends on `fineGrain`. */
  readonly format?: string | undefined;
  /** `--log-format-escaped` */
  readonly escaped?: boolean;
  /** `--log-path`; standard error without it. */
  readonly path?: string | undefined;
  /** `--enable-fine-grain-logging`: levels belong to source files, not to components. */
  readonly fineGrain?: boolean;
}

/** Plain data: levels by name, and that of all others. */
export interface LogLevels {
  readonly all: LogLevel;
  readonly named: readonly (readonly [name: string, level: LogLevel])[];
}

export type LogTags = Readonly<Record<string, string>>;

/**
 * One component as one file logs it. A message that costs something to build is built behind `isDebug` or `isTrace`.
 * `tags` print before the message: `{ ConnectionId: '7' }`.
 */
export class Logger {
  readonly component: string;
  /** Where the logger was made: its key in fine-grain mode. */
  readonly file: string;
  level: LogLevel;
  readonly #logs: Logs;

  constructor(logs: Logs, component: string, file: string, level: LogLevel) {
    this.#logs = logs;
    this.component = component;
    this.file = file;
    this.level = level;
  }

  get isTrace(): boolean {
    return this.level <= LogLevel.Trace;
  }

  get isDebug(): boolean {
    return this.level <= LogLevel.Debug;
  }

  trace(message: string, tags?: LogTags): void {
    if (this.level <= LogLevel.Trace) this.#logs.write(this, LogLevel.Trace, message, tags);
  }

  debug(message: string, tags?: LogTags): void {
    if (this.level <= LogLevel.Debug) this.#logs.write(this, LogLevel.Debug, message, tags);
  }

  info(message: string, tags?: LogTags): void {
    if (this.level <= LogLevel.Info) this.#logs.write(this, LogLevel.Info, message, tags);
  }

  warn(message: string, tags?: LogTags): void {
    if (this.level <= LogLevel.Warning) this.#logs.write(this, LogLevel.Warning, message, tags);
  }

  error(message: string, tags?: LogTags): void {
    if (this.level <= LogLevel.Error) this.#logs.write(this, LogLevel.Error, message, tags);
  }

  critical(message: string, tags?: LogTags): void {
    if (this.level <= LogLevel.Critical) this.#logs.write(this, LogLevel.Critical, message, tags);
  }
}

/** Where lines go. Tests give their own; otherwise a file descriptor. */
export type LogSink = (line: string) => void;

export class Logs {
  readonly #loggers: Logger[] = [];
  readonly #levels = new Map<string, LogLevel>();
  #defaultLevel: LogLevel = LogLevel.Info;
  #isFineGrain = false;
  #format: LogFormat = compileLogFormat(defaultLogFormat, false, ids());
  #path: string | undefined;
  #fd = 2;
  #lastMs = 0;
  #sink: LogSink;

  constructor(sink?: LogSink) {
    this.#sink = sink ?? ((line) => writeAll(this.#fd, line));
  }

  /** Throws when the file of `path` cannot be opened. */
  configure(settings: LogSettings): void {
    this.#isFineGrain = settings.fineGrain ?? false;
    const format = settings.format ?? (this.#isFineGrain ? fineGrainLogFormat : defaultLogFormat);
    this.#format = compileLogFormat(format, settings.escaped ?? false, ids());
    if (settings.path !== this.#path) {
      const fd = settings.path === undefined ? 2 : openSync(settings.path, 'a');
      if (this.#fd !== 2) closeSync(this.#fd);
      this.#path = settings.path;
      this.#fd = fd;
    }
    this.setAll(settings.level);
    for (const [component, level] of Object.entries(settings.componentLevels ?? {}))
      this.set(component, level);
  }

  /** Makes the logger of `component` for the calling module: once, at its top. */
  logger(component: string): Logger {
    const caller = getCallSites(4).find(
      ({ scriptName }) => !scriptName.startsWith('node:') && scriptName !== import.meta.url,
    );
    const file = caller === undefined ? '' : packagePath(caller.scriptName);
    const key = this.#isFineGrain ? file : component;
    const logger = new Logger(this, component, file, this.#levels.get(key) ?? this.#defaultLevel);
    this.#loggers.push(logger);
    return logger;
  }

  get isFineGrain(): boolean {
    return this.#isFineGrain;
  }

  /** What levels can be given to, in the order they are listed: components, or the files that log. */
  names(): readonly string[] {
    return this.#isFineGrain ? [...new Set(this.#loggers.map(({ file }) => file))].sort() : componentNames;
  }

  /** The files that log for `component`. */
  filesOf(component: string): readonly string[] {
    return [...new Set(this.#loggers.filter((it) => it.component === component).map(({ file }) => file))];
  }

  level(name: string): LogLevel {
    return this.#levels.get(name) ?? this.#defaultLevel;
  }

  setAll(level: LogLevel): void {
    this.#defaultLevel = level;
    this.#levels.clear();
    for (const logger of this.#loggers) logger.level = level;
  }

  set(name: string, level: LogLevel): void {
    this.#levels.set(name, level);
    for (const logger of this.#loggers) {
      if ((this.#isFineGrain ? logger.file : logger.component) === name) logger.level = level;
    }
  }

  /** Levels as they are now, to be sent to the other threads. */
  levels(): LogLevels {
    return { all: this.#defaultLevel, named: [...this.#levels] };
  }

  setLevels({ all, named }: LogLevels): void {
    this.setAll(all);
    for (const [name, level] of named) this.set(name, level);
  }

  /** Opens the file of `--log-path` anew, after log rotation. */
  reopen(): void {
    if (this.#path === undefined) return;
    const fd = openSync(this.#path, 'a');
    closeSync(this.#fd);
    this.#fd = fd;
  }

  /** For `Logger`. */
  write(logger: Logger, level: LogLevel, message: string, tags: LogTags | undefined): void {
    const timeMs = performance.timeOrigin + performance.now();
    const elapsedMs = this.#lastMs === 0 ? 0 : Math.max(timeMs - this.#lastMs, 0);
    this.#lastMs = timeMs;
    const source = this.#format.needsSource ? location(logger) : { file: logger.file, line: 0, function: '' };
    const name = this.#isFineGrain ? logger.file : logger.component;
    this.#sink(this.#format.print({ timeMs, elapsedMs, level, logger: name, message, tags, source }));
  }
}

/** The log of this thread. */
export const logs = new Logs();

/** The logger of `component` in this thread's log: `const log = logger('upstream');` at the top of a module. */
export function logger(component: string): Logger {
  return logs.logger(component);
}

function location(logger: Logger): SourceLocation {
  // This function, Logs.write, Logger.info, and then whoever logs.
  const caller = getCallSites(4)[3];
  if (caller === undefined) return { file: logger.file, line: 0, function: '' };
  return {
    file: packagePath(caller.scriptName),
    line: caller.lineNumber,
    function: caller.functionName.slice(caller.functionName.lastIndexOf('.') + 1),
  };
}

const root = dirname(dirname(import.meta.dirname));

function packagePath(script: string): string {
  const path = script.startsWith('file:') ? fileURLToPath(script) : script;
  return path.startsWith(root) ? relative(root, path) : path;
}

/** The kernel's thread id where there is one, as Envoy prints it. */
function ids(): { threadId: number; processId: number } {
  let threadId = process.pid;
  try {
    threadId = Number(readlinkSync('/proc/thread-self').split('/').at(-1));
  } catch {
    // Not Linux: the process id stands for its threads.
  }
  return { threadId, processId: process.pid };
}

function writeAll(fd: number, line: string): void {
  const bytes = Buffer.from(line);
  let written = 0;
  for (let attempts = 0; written < bytes.length && attempts < 100; attempts++) {
    try {
      written += writeSync(fd, bytes, written);
    } catch (error) {
      // A full pipe that nobody reads, or one that is gone: the log must not stop the proxy.
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return;
    }
  }
}
