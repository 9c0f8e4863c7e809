// `chancery validate`: the friendly form of `--mode validate`, for people, editors and CI.
import { watch } from 'node:fs';
import { parseArgs } from 'node:util';
import { formatProblems, type ProblemFormat } from '#config/format-problems.ts';
import { type LoadOptions, validateFiles } from '#config/load.ts';

const usage = `usage: chancery validate [OPTION...] FILE...

Checks bootstrap files, discovery responses (the files of xDS by path) and single resources, in YAML, JSON, protobuf text (.pb_text),
binary (.pb) or TypeScript. References between the files are followed. - is standard input.

  --format text|json|sarif|github   how to print problems (text)
  --strict                          also refuse what Envoy accepts and should not
  --watch                           check again whenever a file changes
  --allow-unknown-static-fields, --reject-unknown-dynamic-fields, --ignore-unknown-dynamic-fields, --skip-deprecated-logs,
  --service-node NAME, --service-cluster NAME    as for the proxy

Exits with 0 when all files are usable, 1 when one is not, 2 when the command line is wrong.
`;

const formats: readonly string[] = ['text', 'json', 'sarif', 'github'];
/** Editors write a file in several steps: wait until it has been quiet this long. */
const settleMs = 50;

export async function run(args: readonly string[]): Promise<number | undefined> {
  let parsed: ReturnType<typeof parse>;
  try {
    parsed = parse(args);
  } catch (error) {
    process.stderr.write(`error: ${(error as Error).message}\n\n${usage}`);
    return 2;
  }
  const { values, positionals: files } = parsed;
  if (values.help) {
    process.stdout.write(usage);
    return 0;
  }
  const format = values.format ?? 'text';
  if (!formats.includes(format)) {
    process.stderr.write(`error: unknown format '${format}': one of ${formats.join(', ')}\n`);
    return 2;
  }
  if (files.length === 0) {
    process.stderr.write(`error: no file given\n\n${usage}`);
    return 2;
  }
  const options: LoadOptions = {
    allowUnknownStaticFields: values['allow-unknown-static-fields'] ?? false,
    rejectUnknownDynamicFields: values['reject-unknown-dynamic-fields'] ?? false,
    ignoreUnknownDynamicFields: values['ignore-unknown-dynamic-fields'] ?? false,
    skipDeprecatedLogs: values['skip-deprecated-logs'] ?? false,
    strict: values.strict ?? false,
    ...(values['service-node'] !== undefined && { serviceNode: values['service-node'] }),
    ...(values['service-cluster'] !== undefined && { serviceCluster: values['service-cluster'] }),
  };
  const check = () => validateAndPrint(files, format as ProblemFormat, options);
  const code = await check();
  if (!values.watch) return code;
  if (files.includes('-')) {
    process.stderr.write('error: standard input cannot be watched\n');
    return 2;
  }
  watchFiles(files, check);
  return undefined;
}

function parse(args: readonly string[]) {
  return parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      format: { type: 'string' },
      strict: { type: 'boolean' },
      watch: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
      'allow-unknown-static-fields': { type: 'boolean' },
      'reject-unknown-dynamic-fields': { type: 'boolean' },
      'ignore-unknown-dynamic-fields': { type: 'boolean' },
      'skip-deprecated-logs': { type: 'boolean' },
      'service-node': { type: 'string' },
      'service-cluster': { type: 'string' },
    },
  });
}

async function validateAndPrint(
  files: readonly string[],
  format: ProblemFormat,
  options: LoadOptions,
): Promise<number> {
  const { problems, sources, ok } = await validateFiles(files, options);
  const color = format === 'text' && (process.stdout.isTTY ?? false) && !process.env.NO_COLOR;
  process.stdout.write(formatProblems(problems, sources, format, { color }));
  if (format === 'text') {
    for (const file of files) {
      const own = problems.filter((it) => it.file === file);
      const errors = own.filter((it) => it.severity === 'error').length;
      const warnings = own.length - errors;
      const found = [
        errors > 0 ? count(errors, 'error') : '',
        warnings > 0 ? count(warnings, 'warning') : '',
      ].filter((it) => it !== '');
      process.stdout.write(
        `${errors === 0 ? `configuration '${file}' OK` : `configuration '${file}' refused`}${found.length > 0 ? ` (${found.join(', ')})` : ''}\n`,
      );
    }
  }
  return ok ? 0 : 1;
}

function count(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? '' : 's'}`;
}

/** Watches until interrupted. A file that is replaced (written anew under its name) is watched through its folder. */
function watchFiles(files: readonly string[], check: () => Promise<number>): void {
  let timer: NodeJS.Timeout | undefined;
  let isChecking = false;
  let isDirty = false;
  const again = async () => {
    if (isChecking) {
      isDirty = true;
      return;
    }
    isChecking = true;
    do {
      isDirty = false;
      process.stdout.write(`\n${new Date().toLocaleTimeString()}\n`);
      process.exitCode = await check();
    } while (isDirty);
    isChecking = false;
  };
  const watchers = [...new Set(files.map((file) => file.replace(/[^/]*$/, '') || '.'))].map((folder) =>
    watch(folder, (_event, name) => {
      if (name !== null && !files.some((file) => file.replace(/^.*\//, '') === name)) return;
      clearTimeout(timer);
      timer = setTimeout(() => void again(), settleMs);
    }),
  );
  process.once('SIGINT', () => {
    clearTimeout(timer);
    for (const watcher of watchers) watcher.close();
  });
}
