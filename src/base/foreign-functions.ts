// The door to the C library: `node:ffi`, where there is one (Linux, Node 26.1 and newer).

/** Undefined elsewhere. */
export function foreignFunctions(): ReturnType<typeof load> | undefined {
  return process.platform === 'linux' ? quietly(load) : undefined;
}

const load = () => process.getBuiltinModule('node:ffi');

/** Without the warning that the module is experimental: what is used of it is under our own tests. */
function quietly<T>(load: () => T): T {
  const { emitWarning } = process;
  process.emitWarning = () => {};
  try {
    return load();
  } finally {
    process.emitWarning = emitWarning;
  }
}
