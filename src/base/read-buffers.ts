// Where plain sockets read into, and who gets the bytes. Every read goes through one buffer per thread; what arrived is copied
// into memory of its own. Small pieces come from Node's pool; large ones from chunks that go around: when a chunk's bytes were all
// handed to the kernel it is read into again, warm and without the garbage collector. Bulk transfers live on this.
//
// A chunk comes back only when every one of its bytes was reported by `written` or `finished`. Bytes that stay elsewhere are simply never
// reported, and the collector takes the chunk. Whoever sends the same bytes twice, or looks at them after sending them, must `pin`.

export const chunkBytes = 65_536;

/** Smaller pieces are not worth a chunk. */
const smallBytes = 8_192;
const maxFree = 64;

/** Sockets read into this; a reader has to `take` before the next read of the thread. */
export const readBuffer: Buffer = Buffer.allocUnsafeSlow(chunkBytes);

class Chunk {
  readonly bytes: Buffer = Buffer.allocUnsafeSlow(chunkBytes);
  /** Given out and not yet written. */
  pending = 0;
}

const free: Chunk[] = [];
const chunks = new WeakMap<ArrayBufferLike, Chunk>();

/** The first `length` bytes of `readBuffer`, as the taker's own. */
export function take(length: number): Buffer {
  if (length < smallBytes) {
    const own = Buffer.allocUnsafe(length);
    readBuffer.copy(own, 0, 0, length);
    return own;
  }
  let chunk = free.pop();
  if (chunk === undefined) {
    chunk = new Chunk();
    chunks.set(chunk.bytes.buffer, chunk);
  }
  chunk.pending = length;
  readBuffer.copy(chunk.bytes, 0, 0, length);
  return length === chunkBytes ? chunk.bytes : chunk.bytes.subarray(0, length);
}

/** The kernel has all of `bytes`, and nobody else will look at them. */
export function written(bytes: Buffer): void {
  finished(bytes, bytes.length);
}

/** As `written`, for `count` bytes somewhere in the memory of `bytes`: a codec has read or copied them and passes them to nobody. */
export function finished(bytes: Buffer, count: number): void {
  const chunk = count > 0 ? chunks.get(bytes.buffer) : undefined;
  if (chunk === undefined) return;
  chunk.pending -= count;
  if (chunk.pending === 0 && free.length < maxFree) free.push(chunk);
}

/** `bytes` live on after they were sent: their memory is never read into again. */
export function pin(bytes: Buffer): void {
  chunks.delete(bytes.buffer);
}
