// `ProxyProtocolConfig` and its TLVs as plain data.
import type { ParseContext } from '#config/parse-context.ts';
import { type ProxyHeader, type ProxyTlv, writeProxyHeader } from '#net/proxy-protocol.ts';
import type {
  ProxyProtocolConfig,
  ProxyProtocolPassThroughTLVs,
  TlvEntry,
} from '#schema/messages/envoy/config/core/v3.ts';
import { compileFormatData, type FormatData, parseFormatString } from './format-config.ts';
import type { FormatContext } from './formatter.ts';

/** Which TLVs of the client go on. */
export interface PassThroughData {
  readonly all: boolean;
  readonly types: readonly number[];
}

/** `value` as latin1 text; undefined when `format` makes it. */
export interface TlvData {
  readonly type: number;
  readonly value: string | undefined;
  readonly format: FormatData | undefined;
}

export interface ProxyProtocolData {
  readonly version: 1 | 2;
  readonly passThrough: PassThroughData;
  readonly addedTlvs: readonly TlvData[];
}

/** Undefined: none. */
export function parsePassThrough(message: ProxyProtocolPassThroughTLVs | undefined): PassThroughData {
  return {
    all: message?.match_type === 'INCLUDE_ALL',
    types: message?.match_type === 'INCLUDE' ? message.tlv_type.map((it) => it & 0xff) : [],
  };
}

export function isPassed(passThrough: PassThroughData, type: number): boolean {
  return passThrough.all || passThrough.types.includes(type);
}

/** `allowsFormat`: whether `format_string` is acted on. */
export function parseTlvs(
  messages: readonly TlvEntry[],
  at: ParseContext,
  field: string,
  allowsFormat: boolean,
): readonly TlvData[] {
  return messages.map((message, i) => {
    const here = at.field(field, i);
    const { format_string: format } = message;
    return {
      type: message.type & 0xff,
      value:
        format === undefined || !allowsFormat ? Buffer.from(message.value).toString('latin1') : undefined,
      format:
        format === undefined || !allowsFormat
          ? undefined
          : parseFormatString(format, here.field('format_string')),
    };
  });
}

export function parseProxyProtocol(
  message: ProxyProtocolConfig | undefined,
  at: ParseContext,
): ProxyProtocolData {
  return {
    version: message?.version === 'V2' ? 2 : 1,
    passThrough: parsePassThrough(message?.pass_through_tlvs),
    addedTlvs: parseTlvs(message?.added_tlvs ?? [], at, 'added_tlvs', true),
  };
}

/** TLVs to send, made anew for each connection where a format makes them. */
export function compileTlvs(data: readonly TlvData[]): (context: FormatContext) => readonly ProxyTlv[] {
  const parts = data.map(({ type, value, format }) => {
    const formatter = format && compileFormatData(format);
    return formatter === undefined
      ? { type, value: Buffer.from(value ?? '', 'latin1'), formatter }
      : { type, value: undefined, formatter };
  });
  return (context) =>
    parts.map(({ type, value, formatter }) => ({
      type,
      value: value ?? Buffer.from(formatter!.format(context), 'latin1'),
    }));
}

/** What a PROXY header says of a connection. Addresses are `ip:port`, or something else, which no header can say. */
export interface ProxiedConnection {
  readonly remote: string;
  readonly local: string;
  readonly tlvs: readonly ProxyTlv[];
}

const longestTlvs = 65_535 - 36;

/** Writes headers as configured. One object per configuration. */
export class ProxyHeaderWriter {
  readonly #data: ProxyProtocolData;
  readonly #added: readonly ProxyTlv[] | undefined;
  readonly #format: (context: FormatContext) => readonly ProxyTlv[];
  readonly #onTooLong: () => void;

  /** `onTooLong`: not all TLVs fit, and some are left out. */
  constructor(data: ProxyProtocolData, onTooLong: () => void) {
    this.#data = data;
    this.#added = data.addedTlvs.some((it) => it.format !== undefined)
      ? undefined
      : data.addedTlvs.map(tlvOf);
    this.#format = compileTlvs(data.addedTlvs);
    this.#onTooLong = onTooLong;
  }

  /**
   * `connection` undefined: nobody's, our own (a health check). Version 1 then shows `own`. `hostTlvs`: what the host has of its own.
   * `context`: for formats.
   */
  write(
    connection: ProxiedConnection | undefined,
    own: ProxiedConnection,
    hostTlvs: readonly TlvData[] = [],
    context?: () => FormatContext,
  ): Buffer {
    const { version } = this.#data;
    if (connection === undefined) return writeProxyHeader(version === 1 ? headerOf(1, own, []) : local);
    return writeProxyHeader(
      headerOf(version, connection, version === 1 ? [] : this.#tlvs(connection.tlvs, hostTlvs, context)),
    );
  }

  #tlvs(
    clients: readonly ProxyTlv[],
    hostTlvs: readonly TlvData[],
    context: (() => FormatContext) | undefined,
  ): readonly ProxyTlv[] {
    const { passThrough } = this.#data;
    // A type that one of them has is not taken from those behind.
    const tlvs = hostTlvs.map(tlvOf);
    const has = (type: number) => tlvs.some((it) => it.type === type);
    const added = this.#added ?? (context === undefined ? [] : this.#format(context()));
    tlvs.push(...added.filter(({ type }) => !has(type)));
    tlvs.push(...clients.filter(({ type }) => isPassed(passThrough, type) && !has(type)));
    let bytes = 0;
    const fitting = tlvs.filter(({ value }) => {
      if (bytes + 3 + value.length > longestTlvs) return false;
      bytes += 3 + value.length;
      return true;
    });
    if (fitting.length < tlvs.length) this.#onTooLong();
    return fitting;
  }
}

function tlvOf({ type, value }: TlvData): ProxyTlv {
  return { type, value: Buffer.from(value ?? '', 'latin1') };
}

const local: ProxyHeader = {
  version: 2,
  isLocal: true,
  sourceAddress: '',
  sourcePort: 0,
  destinationAddress: '',
  destinationPort: 0,
  tlvs: [],
};

function headerOf(
  version: 1 | 2,
  { remote, local: own }: ProxiedConnection,
  tlvs: readonly ProxyTlv[],
): ProxyHeader {
  const source = partsOf(remote);
  const destination = partsOf(own);
  if (source === undefined || destination === undefined) return { ...local, version, tlvs };
  return {
    version,
    isLocal: false,
    sourceAddress: source.ip,
    sourcePort: source.port,
    destinationAddress: destination.ip,
    destinationPort: destination.port,
    tlvs,
  };
}

function partsOf(address: string): { ip: string; port: number } | undefined {
  const found = /^(?:\[([^\]]+)\]|([\d.]+)):(\d+)$/.exec(address);
  return found === null ? undefined : { ip: (found[1] ?? found[2])!, port: Number(found[3]) };
}
