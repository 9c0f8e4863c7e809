// `chancery schema`: a JSON Schema for editors.
import { jsonSchema } from '#schema/json-schema.ts';
import { message, messageNames } from '#schema/registry.ts';

const usage = `usage: chancery schema [MESSAGE]

Prints the JSON Schema of a configuration message, the bootstrap unless another is named by its full name, such as
envoy.config.cluster.v3.Cluster. docs/editor.md shows how editors use it.
`;

export async function run(args: readonly string[]): Promise<number> {
  const [name = 'envoy.config.bootstrap.v3.Bootstrap', ...rest] = args;
  if (name === '--help' || name === '-h') {
    process.stdout.write(usage);
    return 0;
  }
  if (rest.length > 0 || name.startsWith('-')) {
    process.stderr.write(usage);
    return 2;
  }
  if (message(name) === undefined) {
    const last = name.slice(name.lastIndexOf('.') + 1).toLowerCase();
    const similar = messageNames().filter((it) => it.toLowerCase().endsWith(`.${last}`));
    const hint = similar.length > 0 ? `; did you mean ${similar.slice(0, 3).join(' or ')}?` : '';
    process.stderr.write(`error: unknown message '${name}'${hint}\n`);
    return 1;
  }
  // `chancery schema | head` closes the pipe early.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
  process.stdout.write(`${JSON.stringify(jsonSchema(name), undefined, 2)}\n`);
  return 0;
}
