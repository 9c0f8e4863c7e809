// How a proxy refuses to start, or a configuration that it shall validate.
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ProxyKind, proxyCommand } from '#testing/proxy-process.ts';

/** Exit code, and what it says behind the time and the source file. Everything it says when it does not refuse. */
export async function refusal(
  kind: ProxyKind,
  folder: string,
  bootstrap: object | string,
  flags: readonly string[] = [],
): Promise<{ code: unknown; reason: string[] }> {
  const file = join(folder, 'envoy.yaml');
  writeFileSync(file, typeof bootstrap === 'string' ? bootstrap : JSON.stringify(bootstrap));
  const [program, ...first] = proxyCommand(kind);
  const all = [
    ...first,
    '-c',
    file,
    '--concurrency',
    '1',
    '--use-dynamic-base-id',
    '-l',
    'warning',
    ...flags,
  ];
  const { code, text } = await new Promise<{ code: unknown; text: string }>((resolve) =>
    execFile(program!, all, { timeout: 20_000, cwd: folder }, (error, out, err) =>
      resolve({ code: error?.code ?? 0, text: out + err }),
    ),
  );
  const bindError = /listener '.*' failed to bind or apply socket options: .*/.exec(text)?.[0];
  const reason =
    /error `([^`]*)` initializing config '/.exec(text)?.[1] ??
    /error initializing configuration '[^']*': (.*)/.exec(text)?.[1];
  return { code, reason: [...(bindError === undefined ? [] : [bindError]), reason ?? text] };
}
