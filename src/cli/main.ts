// The `chancery` command: picks the command's module and runs it. Nothing is loaded that the command does not need.
import { resolveOwnModules } from '#base/own-modules.ts';

resolveOwnModules();

/** Runs with the arguments behind the command's name and gives the exit code, or nothing when it keeps running. */
type Command = (args: readonly string[]) => Promise<number | undefined>;

interface Entry {
  readonly name: string;
  readonly summary: string;
  load(): Promise<{ readonly run: Command }>;
}

const commands: readonly Entry[] = [
  {
    name: 'proxy',
    summary: 'run the proxy: takes every flag of the envoy command',
    load: () => import('./proxy.ts'),
  },
  {
    name: 'validate',
    summary: 'check configuration files: bootstraps, discovery responses, single resources',
    load: () => import('./validate.ts'),
  },
  {
    name: 'schema',
    summary: 'print a JSON Schema of the configuration, for editors',
    load: () => import('./schema.ts'),
  },
  {
    name: 'demo',
    summary: 'run the front-proxy example with two upstreams of its own',
    load: () => import('./demo.ts'),
  },
];

const [name = '', ...args] = process.argv.slice(2);
const command = commands.find((it) => it.name === name);

if (command !== undefined) {
  const { run } = await command.load();
  const code = await run(args);
  if (code !== undefined) process.exitCode = code;
} else if (name === '--version' || name === 'version') {
  const { versionLine } = await import('./version.ts');
  process.stdout.write(`${versionLine('chancery')}\n`);
} else if (name === '--help' || name === '-h' || name === 'help') {
  process.stdout.write(help());
} else {
  if (name !== '') process.stderr.write(`error: unknown command '${name}'\n\n`);
  process.stderr.write(help());
  process.exitCode = 1;
}

function help(): string {
  const width = Math.max(...commands.map((it) => it.name.length));
  const lines = commands.map((it) => `  ${it.name.padEnd(width)}  ${it.summary}`);
  return [
    'usage: chancery COMMAND [ARGUMENT...]',
    '',
    ...lines,
    '',
    '`chancery COMMAND --help` tells more. Under the name `envoy` it is the proxy itself.',
    '',
  ].join('\n');
}
