// What matcher trees read of a connection, and of a request on it.
import { ipOfAddress, portOfAddress } from '#base/cidr.ts';
import { type HeaderField, headerField, joinedValue } from '#http/header-field.ts';
import type { HeaderMap } from '#http/header-map.ts';
import type { CelData } from '../cel/cel-config.ts';
import { CelProgram } from '../cel/cel-program.ts';
import type { CertificateInfo, ConnectionInfo, StreamInfo } from '../stream-info.ts';
import type { MatchInput, Predicate } from './matcher-tree.ts';
import type { ConnectionInputKind, StreamInputData } from './stream-input-config.ts';

export interface StreamSubject {
  readonly info: StreamInfo;
  /** Undefined where there is no request. */
  readonly headers: HeaderMap | undefined;
}

export function compileStreamInput(data: StreamInputData): MatchInput<StreamSubject> {
  switch (data.kind) {
    case 'request_header':
      return new RequestHeaderInput(data.name, headerField(data.name));
    case 'filter_state':
      return new FilterStateInput(data.key, data.field);
    case 'constant':
      return { read: () => data.value };
    default:
      return new ConnectionInput(data.kind);
  }
}

export function compileCelPredicate(data: CelData): Predicate<StreamSubject> {
  const program = new CelProgram(data);
  return {
    holds: ({ info, headers }) =>
      program.holds({
        info,
        requestHeaders: headers,
        responseHeaders: undefined,
        responseTrailers: undefined,
      }),
  };
}

class ConnectionInput implements MatchInput<StreamSubject> {
  readonly #kind: ConnectionInputKind;

  constructor(kind: ConnectionInputKind) {
    this.#kind = kind;
  }

  read({ info }: StreamSubject): string | undefined {
    return readConnection(this.#kind, info.connection) || undefined;
  }
}

/** Empty: there is none. */
export function readConnection(kind: ConnectionInputKind, connection: ConnectionInfo): string {
  switch (kind) {
    case 'destination_ip':
      return ipOfAddress(connection.localAddress);
    case 'destination_port':
      return portText(connection.localAddress);
    case 'source_ip':
      return ipOfAddress(connection.remoteAddress);
    case 'source_port':
      return portText(connection.remoteAddress);
    case 'direct_source_ip':
      return ipOfAddress(connection.directRemoteAddress);
    case 'server_name':
      return connection.requestedServerName;
    case 'uri_san':
      return peerOf(connection)?.uriSans.join() ?? '';
    case 'dns_san':
      return peerOf(connection)?.dnsSans.join() ?? '';
    case 'subject':
      return peerOf(connection)?.subject ?? '';
  }
}

/** A Unix socket has none. */
function portText(address: string): string {
  return String(portOfAddress(address) || '');
}

function peerOf({ tls }: ConnectionInfo): CertificateInfo | undefined {
  return tls?.peerCertificate();
}

class RequestHeaderInput implements MatchInput<StreamSubject> {
  readonly #name: string;
  readonly #field: HeaderField;

  constructor(name: string, field: HeaderField) {
    this.#name = name;
    this.#field = field;
  }

  read({ headers }: StreamSubject): string | undefined {
    return headers && joinedValue(headers, this.#field, this.#name);
  }
}

class FilterStateInput implements MatchInput<StreamSubject> {
  readonly #key: string;
  readonly #name: string;

  constructor(key: string, name: string) {
    this.#key = key;
    this.#name = name;
  }

  read({ info }: StreamSubject): string | undefined {
    const object = info.filterState?.get(this.#key);
    if (object === undefined || this.#name === '') return object?.text;
    const value = object.field(this.#name);
    return value === undefined ? undefined : String(value);
  }
}
