// Watches a directory for files that are moved into it, which is how configuration is replaced as a whole: `mv new.yaml in-use.yaml`, or
// Kubernetes' symlinks. Node's watcher does not tell a move from a file that somebody has begun to write; where there is `node:ffi`, inotify is
// asked too, and Node's watcher only says that there is something to read.
import { existsSync, watch } from 'node:fs';
import { foreignFunctions } from './foreign-functions.ts';

/** Calls `onMoved` with the name of every entry that is moved to `directory`. Throws when that cannot be watched. Returns its end. */
export function watchMoves(directory: string, onMoved: (name: string) => void): () => void {
  const events = inotify()?.(directory);
  let isClosed = false;
  let timer: NodeJS.Timeout | undefined;
  const read = () => {
    for (const name of events?.read() ?? []) if (!isClosed) onMoved(name);
  };
  const watcher = watch(directory, (event, name) => {
    if (events === undefined) {
      if (event === 'rename' && name !== null && existsSync(`${directory}/${name}`)) onMoved(name);
      return;
    }
    read();
    // The system tells one watcher after the other.
    timer ??= setTimeout(() => {
      timer = undefined;
      read();
    }, 10);
  });
  // The directory went away: what was read stays in force.
  watcher.on('error', () => {});
  return () => {
    isClosed = true;
    clearTimeout(timer);
    watcher.close();
    events?.close();
  };
}

interface MoveEvents {
  /** The names of what was moved in since it was read last. */
  read(): string[];
  close(): void;
}

const movedTo = 0x80;
/** Not asked for its own sake: the system joins events that follow each other and are alike, and two moves mostly have a write between them. */
const modified = 0x2;
/** IN_NONBLOCK, IN_CLOEXEC */
const flags = 0o4000 | 0o2000000;

/** Undefined where there is no door to it. */
function inotify(): ((directory: string) => MoveEvents) | undefined {
  const ffi = foreignFunctions();
  if (ffi === undefined) return undefined;
  const { functions: libc } = ffi.dlopen(null, {
    inotify_init1: { arguments: ['i32'], return: 'i32' },
    inotify_add_watch: { arguments: ['i32', 'pointer', 'u32'], return: 'i32' },
    read: { arguments: ['i32', 'pointer', 'u64'], return: 'i64' },
    close: { arguments: ['i32'], return: 'i32' },
  });
  return (directory) => {
    const descriptor = libc.inotify_init1(flags);
    if (
      descriptor < 0 ||
      libc.inotify_add_watch(descriptor, Buffer.from(`${directory}\0`), movedTo | modified) < 0
    ) {
      if (descriptor >= 0) libc.close(descriptor);
      throw new Error(`cannot watch ${directory}`);
    }
    const buffer = Buffer.alloc(4096);
    return {
      read() {
        const names: string[] = [];
        for (;;) {
          const length = Number(libc.read(descriptor, buffer, BigInt(buffer.length)));
          if (length <= 0) return names;
          // struct inotify_event: wd, mask, cookie, len, and the name with zeros behind it.
          for (let at = 0; at < length; ) {
            const size = buffer.readUInt32LE(at + 12);
            const name = buffer.toString('utf8', at + 16, at + 16 + size);
            if (buffer.readUInt32LE(at + 4) & movedTo) names.push(name.slice(0, name.indexOf('\0')));
            at += 16 + size;
          }
        }
      },
      close() {
        libc.close(descriptor);
      },
    };
  };
}
