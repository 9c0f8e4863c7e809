// How many datagrams the system dropped because the buffer of a socket was full, as Linux tells for all sockets at once.
import { readFileSync, readlinkSync } from 'node:fs';

/** The socket's name in the lists of Linux; empty on other systems. */
export function inodeOf(descriptor: number): string {
  try {
    return /\d+/.exec(readlinkSync(`/proc/self/fd/${descriptor}`))?.[0] ?? '';
  } catch {
    return '';
  }
}

/** By inode; those without drops are left out. */
export function udpDrops(): Map<string, number> {
  const drops = new Map<string, number>();
  for (const file of ['/proc/net/udp', '/proc/net/udp6']) {
    let text: string;
    try {
      text = readFileSync(file, 'latin1');
    } catch {
      continue;
    }
    for (const line of text.split('\n').slice(1)) {
      const columns = line.trim().split(/\s+/);
      const count = Number(columns[12]);
      if (count > 0) drops.set(columns[9]!, count);
    }
  }
  return drops;
}
