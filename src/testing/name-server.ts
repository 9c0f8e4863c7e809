// A DNS server on loopback that answers from a table.
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { isIPv6 } from 'node:net';
import type { TestContext } from 'node:test';

/** Addresses of a name, or what goes wrong with it. A name that is not in the table does not exist. */
export type NameTable = Record<string, readonly string[] | 'fails' | 'silence'>;

export interface NameServer {
  /** May be changed. */
  readonly table: NameTable;
  /** It refuses everything. */
  fail: boolean;
  /** Names for which IPv4 addresses were wanted. */
  readonly asked: string[];
  readonly servers: readonly string[];
  readonly port: number;
}

/** Answers live for `ttlSeconds`, or as `ttls` says of a name. */
export async function nameServer(
  t: TestContext,
  table: NameTable,
  options: { port?: number; ttlSeconds?: number; ttls?: Readonly<Record<string, number>> } = {},
): Promise<NameServer> {
  const { port = 0, ttlSeconds = 7, ttls = {} } = options;
  const socket: Socket = createSocket('udp4').bind(port, '127.0.0.1');
  await once(socket, 'listening');
  t.after(() => socket.close());
  const bound = socket.address().port;
  const server = { table, fail: false, asked: [] as string[], servers: [`127.0.0.1:${bound}`], port: bound };
  socket.on('message', (question, peer) => {
    let at = 12;
    const labels: string[] = [];
    while (question[at] !== 0) {
      labels.push(question.toString('latin1', at + 1, at + 1 + question[at]!));
      at += question[at]! + 1;
    }
    const name = labels.join('.');
    const type = question.readUInt16BE(at + 1);
    if (type === 1) server.asked.push(name);
    const known = server.table[name.toLowerCase()];
    if (known === 'silence') return;
    const fails = server.fail || known === 'fails';
    const addresses = fails || known === undefined ? [] : (known as readonly string[]);
    const answers = addresses
      .filter((it) => isIPv6(it) === (type === 28))
      .map((it) => record(it, ttls[name.toLowerCase()] ?? ttlSeconds));
    const header = Buffer.from(question.subarray(0, 12));
    header.writeUInt16BE(0x8180 | (fails ? 2 : known === undefined ? 3 : 0), 2);
    header.writeUInt16BE(answers.length, 6);
    header.writeUInt16BE(0, 10);
    socket.send(Buffer.concat([header, question.subarray(12, at + 5), ...answers]), peer.port, peer.address);
  });
  return server;
}

/** Of the name that was asked. IPv6 addresses have all eight groups, or are `::1`. */
function record(address: string, ttlSeconds: number): Buffer {
  const data =
    address === '::1'
      ? Buffer.concat([Buffer.alloc(15), Buffer.from([1])])
      : isIPv6(address)
        ? Buffer.from(
            address.split(':').flatMap((it) => [Number.parseInt(it, 16) >> 8, Number.parseInt(it, 16) & 255]),
          )
        : Buffer.from(address.split('.').map(Number));
  const head = Buffer.alloc(12);
  head.writeUInt16BE(0xc00c, 0);
  head.writeUInt16BE(isIPv6(address) ? 28 : 1, 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt32BE(ttlSeconds, 6);
  head.writeUInt16BE(data.length, 10);
  return Buffer.concat([head, data]);
}
