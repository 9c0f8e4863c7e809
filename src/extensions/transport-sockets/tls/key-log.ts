// `key_log`: the secrets of TLS sessions in the format of NSS, for those who look at traffic with Wireshark.
import { closeSync, openSync } from 'node:fs';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { Cidr, CidrList } from '#base/cidr.ts';
import { systemErrorText } from '#base/system-errors.ts';
import type { ParseContext } from '#config/parse-context.ts';
import type { AccessLogFile, AccessLogFiles } from '#extension/access-log-files.ts';
import type { CidrRange } from '#schema/messages/envoy/config/core/v3.ts';
import type { TlsKeyLog } from '#schema/messages/envoy/extensions/transport_sockets/tls/v3.ts';

export interface KeyLogData {
  readonly path: string;
  /** None: every address. */
  readonly local: readonly string[];
  readonly remote: readonly string[];
}

export function parseKeyLog(message: TlsKeyLog, at: ParseContext): KeyLogData {
  const ranges = (field: 'local_address_range' | 'remote_address_range') =>
    message[field].map((it, i) => range(it, at.field(field, i)));
  try {
    closeSync(openSync(message.path, 'a', 0o644));
  } catch (cause) {
    const { code, message: text } = cause as NodeJS.ErrnoException;
    const envoy = `unable to open file '${message.path}': ${systemErrorText(code) ?? text}`;
    at.field('path').fail(envoy, { envoy, cause });
  }
  return { path: message.path, local: ranges('local_address_range'), remote: ranges('remote_address_range') };
}

function range({ address_prefix: address, prefix_len: length = 0 }: CidrRange, at: ParseContext): string {
  const text = `${address}/${length}`;
  if (Cidr.of(address, length) === undefined) {
    const envoy = `invalid ip/mask combo '${text}' (format is <ip>/<# mask bits>)`;
    at.fail(envoy, { envoy });
  }
  return text;
}

export class KeyLog {
  readonly #file: AccessLogFile;
  readonly #local: CidrList | undefined;
  readonly #remote: CidrList | undefined;

  constructor(data: KeyLogData, files: AccessLogFiles) {
    this.#file = files.file(data.path);
    this.#local = listOf(data.local);
    this.#remote = listOf(data.remote);
  }

  /** `socket`: the one under `tls`. An upstream's addresses are known when it is connected, which is before there are keys. */
  follow(tls: TLSSocket, socket: Socket): void {
    tls.on('keylog', (line: Buffer) => {
      const { localAddress = '', remoteAddress = '' } = socket;
      if (this.#local?.contains(localAddress) === false) return;
      if (this.#remote?.contains(remoteAddress) === false) return;
      this.#file.write(line.toString('latin1'));
    });
  }
}

function listOf(ranges: readonly string[]): CidrList | undefined {
  return ranges.length === 0 ? undefined : new CidrList(ranges.flatMap((it) => Cidr.parse(it) ?? []));
}
