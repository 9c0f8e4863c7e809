// Length-prefixed messages on an HTTP stream: a byte of flags, four of length, the message.

const headerBytes = 5;

export function grpcFrame(message: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(headerBytes + message.length);
  frame[0] = 0;
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, headerBytes);
  return frame;
}

export const FrameProblem = { None: 0, Compressed: 1, TooLong: 2 } as const;
export type FrameProblem = (typeof FrameProblem)[keyof typeof FrameProblem];

/** Takes pieces as they come in and gives whole messages. */
export class GrpcFrameReader {
  readonly #maxBytes: number;
  #parts: Buffer[] = [];
  #bytes = 0;
  /** Once set, nothing more is given. */
  problem: FrameProblem = FrameProblem.None;

  /** `maxBytes`: of one message; 0 for no limit. */
  constructor(maxBytes = 0) {
    this.#maxBytes = maxBytes;
  }

  push(data: Buffer): void {
    if (data.length === 0) return;
    this.#parts.push(data);
    this.#bytes += data.length;
  }

  /** The next message, or undefined until more has come. */
  next(): Buffer | undefined {
    if (this.#bytes < headerBytes || this.problem !== FrameProblem.None) return undefined;
    let first = this.#parts[0]!;
    if (first.length < headerBytes) first = this.#join();
    const length = first.readUInt32BE(1);
    // Nothing was said about compression, so nobody may compress. An empty message needs none.
    if (first[0] !== 0 && length > 0) this.problem = FrameProblem.Compressed;
    else if (this.#maxBytes > 0 && length > this.#maxBytes) this.problem = FrameProblem.TooLong;
    if (this.problem !== FrameProblem.None || this.#bytes < headerBytes + length) return undefined;
    if (first.length < headerBytes + length) first = this.#join();
    const rest = first.subarray(headerBytes + length);
    if (rest.length === 0) this.#parts.shift();
    else this.#parts[0] = rest;
    this.#bytes -= headerBytes + length;
    return first.subarray(headerBytes, headerBytes + length);
  }

  #join(): Buffer {
    const all = Buffer.concat(this.#parts);
    this.#parts = [all];
    return all;
  }
}
