// The levels of the proxy's own log.

import { levelNames } from '#base/log-format.ts';
import { type LogLevel, type Logs, logger, parseLogLevel } from '#base/logger.ts';
import type { AdminEndpoint, AdminQuery } from '../endpoint.ts';
import type { LoggingOwner } from '../owners.ts';

const admin = logger('admin');
const misc = logger('misc');

const usage = `
usage: /logging?<name>=<level> (change single level)
usage: /logging?paths=name1:level1,name2:level2,... (change multiple levels)
usage: /logging?level=<level> (change all levels)
usage: /logging?group=<group_name>:<level> (change group of loggers)
levels: ${levelNames.join(' ')} 
`;

export function loggingEndpoint(logs: Logs, owner: LoggingOwner): AdminEndpoint {
  return {
    path: '/logging',
    help: 'query/change logging levels',
    mutates: true,
    parameters: [
      {
        name: 'paths',
        help: 'Change multiple logging levels by setting to <logger_name1>:<desired_level1>,<logger_name2>:<desired_level2>. If fine grain logging is enabled, use __FILE__ or a glob experision as the logger name. For example, source/common*:warning',
      },
      {
        name: 'group',
        help: 'Change given logger group to desired level, set to <logger_group_name>:<desired_level>. logger_group_name must be a logger name.',
      },
      {
        name: 'level',
        help: "desired logging level, this will change all loggers's level",
        choices: ['', ...levelNames],
      },
    ],
    handle({ formOrQuery }) {
      const problem = change(logs, formOrQuery);
      if (problem === undefined) owner.levelsChanged();
      const list = logs.names().map((name) => `  ${name}: ${levelNames[logs.level(name)]}\n`);
      const active = `active loggers:\n${list.join('')}\n`;
      if (problem === undefined) return { body: active };
      return { status: 400, body: `error: ${problem}\n${usage}${active}` };
    },
  };
}

/** What is wrong with the request, or undefined. Nothing changes when something is wrong. */
function change(logs: Logs, query: AdminQuery): string | undefined {
  const given = query.entries.filter(([, value]) => value !== '');
  if (given.length === 0) return undefined;
  if (query.entries.some(([name]) => name !== query.entries[0]![0])) return 'invalid number of parameters';
  const [name, value] = given[0]!;
  if (name === 'level') {
    const level = knownLevel(value);
    if (level === undefined) return 'unknown logger level';
    if (!logs.isFineGrain) misc.info(`change all log levels: level='${value}'`);
    logs.setAll(level);
    return undefined;
  }
  if (name === 'group' && !logs.isFineGrain)
    return 'group parameter requires fine-grain logging to be enabled';

  const changes: [name: string, level: LogLevel][] = [];
  for (const pair of name === 'paths' || name === 'group' ? value.split(',') : [`${name}:${value}`]) {
    const colon = pair.lastIndexOf(':');
    const wanted = pair.slice(0, Math.max(colon, 0));
    if (colon < 0 || wanted === '' || colon === pair.length - 1)
      return 'empty logger name or empty logger level';
    const level = knownLevel(pair.slice(colon + 1));
    if (level === undefined) return 'unknown logger level';
    if (logs.isFineGrain && name !== 'group')
      misc.info(`adding fine-grain log update, pattern='${wanted}' level='${levelNames[level]}'`);
    const names = name === 'group' ? logs.filesOf(wanted) : matching(logs, wanted);
    if (names.length === 0 && !(logs.isFineGrain && name === 'paths')) return 'unknown logger name';
    for (const it of names) changes.push([it, level]);
  }
  for (const [it, level] of changes) {
    if (!logs.isFineGrain) admin.info(`change log level: name='${it}' level='${levelNames[level]}'`);
    logs.set(it, level);
  }
  return undefined;
}

/** Here `warn` is no level, other than on the command line. */
function knownLevel(text: string): LogLevel | undefined {
  return text === 'warn' ? undefined : parseLogLevel(text);
}

/** Components are named exactly; files by a glob of `*` and `?`, or by the end of their path. */
function matching(logs: Logs, wanted: string): readonly string[] {
  if (!logs.isFineGrain) return logs.names().filter((name) => name === wanted);
  const glob = wanted
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  const pattern = new RegExp(`^(?:.*/)?${glob}$`);
  return logs.names().filter((name) => pattern.test(name));
}
