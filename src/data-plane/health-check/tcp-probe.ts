// A health check by a connection, and by what is said on it.
import { CloseType, type Connection, type ConnectionOwner } from '#net/connection.ts';
import { writeProxyHeader } from '#net/proxy-protocol.ts';
import type { CheckShared } from './host-check.ts';
import type { TcpProbeConfig } from './health-check-config.ts';
import { FailureType, hasParts, type Probe, type ProbeOwner } from './probe.ts';
import type { ProbeConnections } from './probe-connections.ts';

export class TcpProbe implements Probe, ConnectionOwner {
  readonly #config: TcpProbeConfig;
  readonly #check: CheckShared;
  readonly #connections: ProbeConnections;
  readonly #owner: ProbeOwner;
  #connection: Connection | undefined = undefined;
  #isConnected = false;
  #isWaiting = false;
  #received: Buffer = noBytes;

  constructor(config: TcpProbeConfig, check: CheckShared, connections: ProbeConnections, owner: ProbeOwner) {
    this.#config = config;
    this.#check = check;
    this.#connections = connections;
    this.#owner = owner;
  }

  start(): void {
    this.#isWaiting = true;
    if (this.#connection === undefined) {
      this.#isConnected = false;
      this.#received = noBytes;
      this.#connection = this.#connections.open(this);
    } else if (this.#isConnected) this.#send(this.#connection);
  }

  onTimeout(): void {
    this.close();
  }

  close(): void {
    this.#isWaiting = false;
    const connection = this.#connection;
    this.#connection = undefined;
    connection?.close(CloseType.NoFlush);
  }

  onConnected(): void {
    if (this.#connection === undefined) return;
    this.#isConnected = true;
    if (this.#config.receive.length > 0) {
      this.#send(this.#connection);
      return;
    }
    this.close();
    this.#owner.onSuccess(false);
  }

  onData(bytes: Buffer): void {
    // A copy: memory of reads goes around.
    this.#received = Buffer.concat([this.#received, bytes]);
    if (!hasParts(this.#received, this.#config.receive)) return;
    this.#received = noBytes;
    const wasWaiting = this.#isWaiting;
    this.#isWaiting = false;
    if (!this.#check.config.reusesConnections) this.close();
    if (wasWaiting) this.#owner.onSuccess(false);
  }

  onEnd(): void {}

  onClose(): void {
    if (this.#connection === undefined) return;
    this.#connection = undefined;
    this.#isWaiting = false;
    // Also between two checks: what listens there has gone away.
    this.#owner.onFailure(FailureType.Network, false, 0);
  }

  onAboveWriteBufferHighWatermark(): void {}

  onBelowWriteBufferLowWatermark(): void {}

  #send(connection: Connection): void {
    const { proxyProtocol, send } = this.#config;
    if (proxyProtocol !== undefined) connection.write(proxyHeader(proxyProtocol, connection));
    if (send !== undefined) connection.write(Buffer.from(send));
  }
}

const noBytes = Buffer.alloc(0);

/** Version 1 names this connection, version 2 says that it is the proxy's own. */
function proxyHeader(version: 1 | 2, { socket }: Connection): Buffer {
  return writeProxyHeader({
    version,
    isLocal: version === 2,
    sourceAddress: socket.localAddress ?? '',
    sourcePort: socket.localPort ?? 0,
    destinationAddress: socket.remoteAddress ?? '',
    destinationPort: socket.remotePort ?? 0,
    tlvs: [],
  });
}
