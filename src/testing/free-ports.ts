// Ports that nobody uses now, for programs that must be told a port number in their configuration. Everything that can listen on
// port 0 should do that instead.
import { createServer } from 'node:net';

// Below the range that the system hands out to clients, so that no outgoing connection takes a port between now and its use.
// All have five digits: a rewritten configuration keeps its length, and so do the byte counts that depend on it.
const lowest = 10_100;
const highest = 20_900;

let next = lowest + Math.floor(Math.random() * (highest - lowest));

/** `count` different free TCP ports. A port is not handed out twice by one process. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) {
    next = next >= highest ? lowest : next + 1;
    const port = next;
    if (await isFree(port)) ports.push(port);
  }
  return ports;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '0.0.0.0', () => server.close(() => resolve(true)));
  });
}
