// The file of one tap: traces in the form that the sink asks for, one after the other.
import { closeSync, openSync, writeSync } from 'node:fs';
import { logger } from '#base/logger.ts';
import { encodeMessage } from '#schema/binary.ts';
import { create } from '#schema/create.ts';
import { jsonText, toJson } from '#schema/json.ts';
import type { OutputSink_Format } from '#schema/messages/envoy/config/tap/v3.ts';
import type { InitTypes } from '#schema/messages/type-map.ts';
import { message } from '#schema/registry.ts';
import { writeText } from '#schema/text.ts';

const log = logger('tap');

const typeName = 'envoy.data.tap.v3.TraceWrapper';

const suffixes: Readonly<Record<OutputSink_Format, string>> = {
  JSON_BODY_AS_BYTES: '.json',
  JSON_BODY_AS_STRING: '.json',
  PROTO_BINARY: '.pb',
  PROTO_BINARY_LENGTH_DELIMITED: '.pb_length_delimited',
  PROTO_TEXT: '.pb_text',
};

/** Opened for the first trace. What cannot be written is lost, as in Envoy. */
export class TraceFile {
  readonly #path: string;
  readonly #format: OutputSink_Format;
  #descriptor = -1;
  #hasFailed = false;

  constructor(prefix: string, id: number, format: OutputSink_Format) {
    this.#path = `${prefix}_${id}${suffixes[format]}`;
    this.#format = format;
  }

  write(trace: InitTypes[typeof typeName]): void {
    if (this.#hasFailed) return;
    try {
      if (this.#descriptor < 0) this.#descriptor = openSync(this.#path, 'w');
      writeSync(this.#descriptor, encoded(this.#format, trace));
    } catch (error) {
      this.#hasFailed = true;
      log.debug(`cannot write the tap ${this.#path}: ${(error as Error).message}`);
    }
  }

  close(): void {
    if (this.#descriptor >= 0) closeSync(this.#descriptor);
    this.#descriptor = -1;
    this.#hasFailed = true;
  }
}

function encoded(format: OutputSink_Format, init: InitTypes[typeof typeName]): Uint8Array {
  const type = message(typeName);
  const trace = create(typeName, init);
  switch (format) {
    case 'PROTO_BINARY':
      return encodeMessage(type, trace);
    case 'PROTO_BINARY_LENGTH_DELIMITED': {
      const bytes = encodeMessage(type, trace);
      return Buffer.concat([varint(bytes.length), bytes]);
    }
    case 'PROTO_TEXT':
      return Buffer.from(writeText(type, trace));
    default:
      return Buffer.from(`${jsonText(toJson(type, trace, { defaults: true }))}\n`);
  }
}

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let left = value;
  for (; left > 0x7f; left = Math.floor(left / 128)) bytes.push((left & 0x7f) | 0x80);
  bytes.push(left);
  return Uint8Array.from(bytes);
}
