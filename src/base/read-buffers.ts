// Where sockets read into, and who gets the bytes. All of a thread share one buffer, out of which the bytes are copied into memory of
// their own, small pieces into Node's pool. A socket whose reads are large reads into chunks of its own instead, which are handed on
// as they are. Chunks go around: when a chunk's bytes were all handed to the kernel it is read into again, warm and without the
// garbage collector. Bulk transfers live on this.
//
// A chunk comes back only when every one of its bytes was reported by `written` or `finished`. Bytes that stay elsewhere are simply never
// reported, and the collector takes the chunk. Whoever sends the same bytes twice, or looks at them after sending them, must `pin`.

export const chunkBytes = 65_536;

/** Smaller pieces are not worth a chunk. */
export const smallBytes = 8_192;
/** A socket that has read so much at once gets chunks of its own. */
const bulkBytes = 16_384;
/** 16 MiB of a thread that has carried bulk for many: less is allocated and cleared again and again. */
const maxFree = 256;
/** Sockets that have a chunk to read into. It stays with them while they wait, so the others have to share. */
const maxOwners = 64;

const sharedBytes = 65_536;

/** What sockets share; what was read has to be taken before the next read of the thread. */
const shared: Buffer = Buffer.allocUnsafeSlow(sharedBytes);

class Chunk {
  readonly bytes: Buffer = Buffer.allocUnsafeSlow(chunkBytes);
  /** Given out and not yet written. */
  pending = 0;
}

const free: Chunk[] = [];
const chunks = new WeakMap<ArrayBufferLike, Chunk>();
let owners = 0;

function newChunk(): Chunk {
  const used = free.pop();
  if (used !== undefined) return used;
  const chunk = new Chunk();
  chunks.set(chunk.bytes.buffer, chunk);
  return chunk;
}

function give(chunk: Chunk, length: number): Buffer {
  chunk.pending = length;
  return length === chunkBytes ? chunk.bytes : chunk.bytes.subarray(0, length);
}

/** The memory that one socket reads into. */
export class ReadPlace {
  /** Undefined: the shared one. */
  #own: Chunk | undefined = undefined;
  #hasMoved = true;

  /** The `length` bytes that were read, as the taker's own. */
  take(length: number): Buffer {
    const own = this.#own;
    const from = own === undefined ? shared : own.bytes;
    if (length < smallBytes) {
      const copy = Buffer.allocUnsafe(length);
      from.copy(copy, 0, 0, length);
      if (own !== undefined) this.close();
      return copy;
    }
    if (own !== undefined) {
      this.#own = newChunk();
      this.#hasMoved = true;
      return give(own, length);
    }
    if (length >= bulkBytes && owners < maxOwners) {
      owners++;
      this.#own = newChunk();
      this.#hasMoved = true;
    }
    const chunk = newChunk();
    from.copy(chunk.bytes, 0, 0, length);
    return give(chunk, length);
  }

  /** Where the next read goes; undefined when that is where the last one went. */
  moved(): Buffer | undefined {
    if (!this.#hasMoved) return undefined;
    this.#hasMoved = false;
    return this.#own === undefined ? shared : this.#own.bytes;
  }

  /** Back to the shared buffer. */
  close(): void {
    if (this.#own === undefined) return;
    if (free.length < maxFree) free.push(this.#own);
    this.#own = undefined;
    this.#hasMoved = true;
    owners--;
  }
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
