// Bytes of one stream as they were on the wire so far, for the %...BYTES...% log operators.

export interface ByteCounts {
  wireBytesSent: number;
  wireBytesReceived: number;
  /** Of heads and trailers. HTTP/2: the frames; HTTP/1: the lines but the first and the last, those that came without optional white space. */
  headerBytesSent: number;
  headerBytesReceived: number;
  /** Names and values of what HTTP/2 compresses. HTTP/1: as above, of what is received the heads only. */
  decompressedHeaderBytesSent: number;
  decompressedHeaderBytesReceived: number;
}

export class ByteMeter implements ByteCounts {
  wireBytesSent = 0;
  wireBytesReceived = 0;
  headerBytesSent = 0;
  headerBytesReceived = 0;
  decompressedHeaderBytesSent = 0;
  decompressedHeaderBytesReceived = 0;
}

export function addBytes(to: ByteCounts, from: ByteCounts): void {
  to.wireBytesSent += from.wireBytesSent;
  to.wireBytesReceived += from.wireBytesReceived;
  to.headerBytesSent += from.headerBytesSent;
  to.headerBytesReceived += from.headerBytesReceived;
  to.decompressedHeaderBytesSent += from.decompressedHeaderBytesSent;
  to.decompressedHeaderBytesReceived += from.decompressedHeaderBytesReceived;
}

/** Of who has had no stream yet. */
export const noByteCounts: Readonly<ByteCounts> = Object.freeze(new ByteMeter());
