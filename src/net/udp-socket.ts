// UDP sockets: bound ones for listeners, connected ones towards an upstream. Datagrams are read and sent by call on Node's own handle
// of a socket, past `dgram`: its argument checks, look-ups and events were an eighth of what a datagram costs (a bare relay took
// 17.4 us for a round trip with it, 15.3 us without).
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';

/** Who gets the datagrams of a socket. */
export interface DatagramReader {
  /** Hot. `address` and `port` are the sender's. `bytes` may be kept. */
  onDatagram(bytes: Buffer, address: string, port: number): void;
  /** Reading failed: on a connected socket mostly because nobody listens over there. */
  onReceiveError(): void;
}

export interface UdpBindOptions {
  /** An IP address. */
  readonly address: string;
  readonly port: number;
  /** An IPv6 wildcard that takes IPv4 too. */
  readonly ipv4Compat: boolean;
  readonly reusePort: boolean;
}

/** What we use of Node's handle. Negative answers are error numbers. */
interface UdpHandle {
  readonly fd: number;
  /** The socket of ours that reads from it. */
  [owner]: UdpSocket | undefined;
  onmessage: (bytesRead: number, handle: UdpHandle, bytes: Buffer, from: RemoteInfo) => void;
  recvStart(): number;
  connect(address: string, port: number): number;
  connect6(address: string, port: number): number;
  /** 0: it waits in the handle's queue, whose memory is ours until then. More: it is sent. */
  send: Send;
  send6: Send;
  getSendQueueCount(): number;
  getsockname(out: Partial<SocketName>): number;
  close(): void;
}

interface Send {
  (request: Request, list: readonly Buffer[], count: number, hasCallback: boolean): number;
  (
    request: Request,
    list: readonly Buffer[],
    count: number,
    port: number,
    address: string,
    hasCallback: boolean,
  ): number;
}

/** Of one `send`. Serves again unless the datagram had to wait. */
interface Request {
  list?: readonly Buffer[];
}

interface SocketName {
  readonly address: string;
  readonly port: number;
}

const owner = Symbol('owner');

export class UdpSocket {
  readonly #reader: DatagramReader;
  readonly #isIpv6: boolean;
  #handle: UdpHandle | undefined;
  /** The one that the handle was taken from. */
  readonly #bound: Socket | undefined;
  /** A datagram may be waiting in the handle's queue. */
  #hasQueued = false;

  private constructor(reader: DatagramReader, isIpv6: boolean, handle: UdpHandle, bound: Socket | undefined) {
    this.#reader = reader;
    this.#isIpv6 = isIpv6;
    this.#handle = handle;
    this.#bound = bound;
    handle[owner] = this;
    handle.onmessage = onMessage;
  }

  /** Calls `onBound` or, when the address cannot be had, `onError` with Node's code (`EADDRINUSE`). */
  static bind(
    options: UdpBindOptions,
    reader: DatagramReader,
    onBound: (socket: UdpSocket, port: number) => void,
    onError: (error: NodeJS.ErrnoException) => void,
  ): void {
    if (nodeClasses() === undefined) {
      onError(
        new Error(`UDP is not possible: Node ${process.version} does not build its sockets as expected`),
      );
      return;
    }
    const isIpv6 = options.address.includes(':');
    const socket = createSocket({
      type: isIpv6 ? 'udp6' : 'udp4',
      reusePort: options.reusePort,
      ipv6Only: isIpv6 && !options.ipv4Compat,
    });
    socket.once('error', onError);
    socket.bind({ address: options.address, port: options.port, exclusive: true }, () => {
      socket.off('error', onError);
      onBound(new UdpSocket(reader, isIpv6, handleOf(socket)!, socket), socket.address().port);
    });
  }

  /** To one peer: nobody else's datagrams are read. Undefined: the system refuses. */
  static connect(address: string, port: number, reader: DatagramReader): UdpSocket | undefined {
    const classes = nodeClasses();
    if (classes === undefined) return undefined;
    const handle = new classes.Handle();
    const isIpv6 = address.includes(':');
    const status = isIpv6 ? handle.connect6(address, port) : handle.connect(address, port);
    if (status < 0) {
      handle.close();
      return undefined;
    }
    const connected = new UdpSocket(reader, isIpv6, handle, undefined);
    handle.recvStart();
    return connected;
  }

  /** The address from which a datagram to `peer` would come; undefined when there is no way there. */
  static sourceAddress(peer: string): string | undefined {
    const socket = UdpSocket.connect(peer, 9, { onDatagram() {}, onReceiveError() {} });
    const name = socket?.localName();
    socket?.close();
    return name?.address;
  }

  /** To the peer of a connected socket. False: not sent. `bytes` must not change any more. */
  send(bytes: Buffer): boolean {
    const handle = this.#handle;
    if (handle === undefined || (this.#hasQueued && this.#isQueueFull(handle))) return false;
    list[0] = bytes;
    const status = this.#isIpv6
      ? handle.send6(request, list, 1, false)
      : handle.send(request, list, 1, false);
    if (status === 0) this.#queued();
    return status >= 0;
  }

  /** From a bound socket. As `send`. */
  sendTo(bytes: Buffer, address: string, port: number): boolean {
    const handle = this.#handle;
    if (handle === undefined || (this.#hasQueued && this.#isQueueFull(handle))) return false;
    list[0] = bytes;
    const status = this.#isIpv6
      ? handle.send6(request, list, 1, port, address, false)
      : handle.send(request, list, 1, port, address, false);
    if (status === 0) this.#queued();
    return status >= 0;
  }

  /** -1 when the socket is closed. */
  get descriptor(): number {
    return this.#handle?.fd ?? -1;
  }

  /** Our end; undefined when the socket is closed. */
  localName(): SocketName | undefined {
    const out: Partial<SocketName> = {};
    const status = this.#handle?.getsockname(out) ?? -1;
    return status < 0 ? undefined : (out as SocketName);
  }

  close(): void {
    const handle = this.#handle;
    if (handle === undefined) return;
    this.#handle = undefined;
    handle[owner] = undefined;
    if (this.#bound === undefined) handle.close();
    else this.#bound.close();
  }

  /** From the handle. */
  received(bytesRead: number, bytes: Buffer, from: RemoteInfo): void {
    if (bytesRead < 0) this.#reader.onReceiveError();
    else this.#reader.onDatagram(bytes, from.address, from.port);
  }

  /** The system's buffer is full and a datagram waits for it: others are dropped meanwhile, as the system does. */
  #isQueueFull(handle: UdpHandle): boolean {
    this.#hasQueued = handle.getSendQueueCount() > 0;
    return this.#hasQueued;
  }

  #queued(): void {
    this.#hasQueued = true;
    // The request keeps what is being sent.
    request.list = list;
    list = [];
    request = new known!.Request();
  }
}

function onMessage(bytesRead: number, handle: UdpHandle, bytes: Buffer, from: RemoteInfo): void {
  handle[owner]?.received(bytesRead, bytes, from);
}

interface Classes {
  readonly Handle: new () => UdpHandle;
  readonly Request: new () => Request;
}

let known: Classes | undefined;
/** For the next datagram. */
let request: Request = {};
let list: Buffer[] = [];

/** Node's classes behind `dgram`, found on a socket that is made for it. Undefined: this Node has others. */
function nodeClasses(): Classes | undefined {
  if (known !== undefined) return known;
  // The look-up answers at once, so `send` binds and sends at once.
  const socket = createSocket({
    type: 'udp4',
    lookup: (_host, _options, callback) => callback(null, '127.0.0.1', 4),
  });
  const handle = handleOf(socket);
  let sent: Request | undefined;
  if (handle !== undefined) {
    handle.send = (it: Request) => {
      sent = it;
      return 1;
    };
    socket.send(Buffer.alloc(0), 9, '127.0.0.1');
  }
  socket.close();
  if (handle === undefined || sent === undefined) return undefined;
  known = {
    Handle: handle.constructor as Classes['Handle'],
    Request: sent.constructor as Classes['Request'],
  };
  request = new known.Request();
  return known;
}

function handleOf(socket: Socket): UdpHandle | undefined {
  const own = socket as unknown as Record<symbol, { readonly handle?: UdpHandle } | undefined>;
  for (const key of Object.getOwnPropertySymbols(socket)) {
    if (key.description === 'state symbol') return own[key]?.handle;
  }
  return undefined;
}
