// Makes what is published: dist/ has the tree of src/ with the types stripped, because Node strips none below node_modules. `npm pack` and
// `npm publish` run it first. Nothing in the repository runs from dist/.
import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  globSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { dirname, join, posix } from 'node:path';

const root = join(import.meta.dirname, '..');
const dist = join(root, 'dist');
/** What users import: declarations are written for these and what they need. */
const doors = ['src/schema/index.ts'];
/** Declarations only: nothing in there runs. */
const typesOnly = 'src/schema/messages/';

rmSync(dist, { recursive: true, force: true });
writeDeclarations();
for (const file of globSync('src/**/*', { cwd: root }).filter((it) => statSync(join(root, it)).isFile())) {
  if (file.endsWith('.test.ts') || file.startsWith(typesOnly)) continue;
  if (file.endsWith('.ts')) write(`${file.slice(0, -3)}.js`, plainJavaScript(file));
  else copy(file);
}
// Where `../../examples` leads from dist/src/cli.
for (const file of globSync('examples/**/*', { cwd: root }))
  if (statSync(join(root, file)).isFile()) copy(file);

function plainJavaScript(file: string): string {
  const source = stripTypeScriptTypes(readFileSync(join(root, file), 'utf8'));
  return withPlainSpecifiers(source, file);
}

function writeDeclarations(): void {
  mkdirSync(dist, { recursive: true });
  const config = join(dist, 'tsconfig.json');
  writeFileSync(
    config,
    JSON.stringify({
      extends: '../tsconfig.json',
      compilerOptions: {
        noEmit: false,
        declaration: true,
        emitDeclarationOnly: true,
        outDir: '.',
        rootDir: '..',
      },
      include: [],
      files: doors.map((it) => `../${it}`),
    }),
  );
  execFileSync(join(root, 'node_modules/.bin/tsc'), ['-p', config], { stdio: 'inherit' });
  rmSync(config);
  for (const file of globSync('src/**/*.d.ts', { cwd: dist }))
    write(file, withPlainSpecifiers(readFileSync(join(dist, file), 'utf8'), file));
}

/** `#room/file.ts` and `./file.ts` as `../room/file.js` and `./file.js`. */
function withPlainSpecifiers(source: string, file: string): string {
  const rewritten = (specifier: string) => {
    const path = specifier.startsWith('#')
      ? posix.relative(dirname(file), `src/${specifier.slice(1)}`)
      : specifier;
    return `${path.startsWith('.') ? '' : './'}${path.slice(0, -3)}.js`;
  };
  return source
    .replace(
      /(\bfrom\s*|\bimport\s*|\bimport\(\s*)(['"])([#.][^'"\n]*\.ts)\2/g,
      (_, before: string, quote: string, specifier: string) =>
        `${before}${quote}${rewritten(specifier)}${quote}`,
    )
    .replace(
      /(new URL\(\s*)(['"])([^'"\n:]*\.ts)\2(,\s*import\.meta\.url)/g,
      (_, before: string, quote: string, path: string, after: string) =>
        `${before}${quote}${path.slice(0, -3)}.js${quote}${after}`,
    );
}

function write(path: string, text: string): void {
  mkdirSync(dirname(join(dist, path)), { recursive: true });
  writeFileSync(join(dist, path), text);
}

function copy(path: string): void {
  mkdirSync(dirname(join(dist, path)), { recursive: true });
  copyFileSync(join(root, path), join(dist, path));
}

// A specifier that the patterns above missed would only fail at a user's.
const left = globSync('src/**/*.{js,d.ts}', { cwd: dist }).flatMap((file) => missing(file));
if (left.length > 0) throw new Error(`cannot be resolved in dist/:\n${left.join('\n')}`);

function missing(file: string): string[] {
  const source = readFileSync(join(dist, file), 'utf8').replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '');
  const specifiers = [...source.matchAll(/(?:\bfrom|\bimport|\bimport\()\s*['"]([#.][^'"\n]*)['"]/g)].map(
    (it) => it[1]!,
  );
  return specifiers
    .filter((it) => {
      const target = join(dist, dirname(file), file.endsWith('.d.ts') ? it.replace(/\.js$/, '.d.ts') : it);
      return it.startsWith('#') || !existsSync(target);
    })
    .map((it) => `${file} -> ${it}`);
}
