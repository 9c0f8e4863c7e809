// Lets a configuration in TypeScript write `import { bootstrap } from 'chancery/schema'` wherever the file lies: the command that runs it
// is the package it means, installed beside the file or not.

const door = new URL('index.ts', import.meta.url).href;
let isProvided = false;

export function provideSelfImport(): void {
  if (isProvided) return;
  isProvided = true;
  // Not imported on top: most starts have no use for it, and it takes some milliseconds.
  const { registerHooks } = process.getBuiltinModule('node:module');
  registerHooks({
    resolve: (specifier, context, nextResolve) =>
      nextResolve(specifier === 'chancery/schema' ? door : specifier, context),
  });
}
