// What a process and all its descendants have used: CPU time and memory, from /proc.
import { readdirSync, readFileSync } from 'node:fs';

/** CPU time of the whole tree in microseconds: the run time of every thread, as the scheduler counts it (ns, not ticks). */
export function cpuMicroseconds(pid: number): number {
  let nanoseconds = 0;
  for (const process of tree(pid)) {
    for (const thread of entries(`/proc/${process}/task`)) {
      const text = read(`/proc/${process}/task/${thread}/schedstat`);
      if (text) nanoseconds += Number(text.split(' ')[0]);
    }
  }
  return nanoseconds / 1000;
}

/** Resident memory of the tree in KB, shared pages counted by their share. */
export function residentKilobytes(pid: number): number {
  let kilobytes = 0;
  for (const process of tree(pid))
    kilobytes += Number(/^Pss:\s+(\d+)/m.exec(read(`/proc/${process}/smaps_rollup`))?.[1] ?? 0);
  return kilobytes;
}

function tree(pid: number): number[] {
  const parents = new Map<number, number[]>();
  for (const entry of entries('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    // "pid (name) state ppid": the name may contain blanks and parentheses.
    const stat = read(`/proc/${entry}/stat`);
    const parent = Number(stat.slice(stat.lastIndexOf(')') + 4).split(' ')[0]);
    const children = parents.get(parent);
    if (children) children.push(Number(entry));
    else parents.set(parent, [Number(entry)]);
  }
  const found = [pid];
  for (let i = 0; i < found.length; i++) found.push(...(parents.get(found[i]!) ?? []));
  return found;
}

function entries(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** A process may end between listing and reading. */
function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
