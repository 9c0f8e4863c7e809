// Lets a configuration in TypeScript write `import { bootstrap } from 'chancery/schema'` wherever the file lies: the command that runs it
// is the package it means, installed beside the file or not.
import { registerHooks } from 'node:module';

const door = new URL('index.ts', import.meta.url).href;
let isProvided = false;

export function provideSelfImport(): void {
  if (isProvided) return;
  isProvided = true;
  registerHooks({
    resolve: (specifier, context, nextResolve) =>
      nextResolve(specifier === 'chancery/schema' ? door : specifier, context),
  });
}
