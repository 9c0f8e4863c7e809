// What the connection manager does to every response before the codec gets it.
import { truncate } from '#base/truncate.ts';
import { isUpgrade } from '#http/connection-header.ts';
import type { HeaderMap } from '#http/header-map.ts';
import { ServerHeader } from './manager-config.ts';
import type { Stream } from './stream.ts';

let dateSecond = 0;
let dateText = '';

/** The `date` header of now, built once per second. */
export function httpDate(nowMs: number): string {
  const second = Math.floor(nowMs / 1000);
  if (second !== dateSecond) {
    dateSecond = second;
    dateText = new Date(second * 1000).toUTCString();
  }
  return dateText;
}

export function mutateResponseHeaders(stream: Stream, headers: HeaderMap): void {
  const { manager } = stream;
  const { config } = manager.shared;
  const list = headers.list;
  let hasDate = false;
  let hasServer = false;
  const keepsUpgrade = stream.upgrade !== '' && isUpgradeResponse(stream, headers);
  let kept = 0;
  for (let i = 0; i < list.length; i += 2) {
    const name = list[i]!;
    switch (name) {
      case 'date':
        hasDate = true;
        break;
      case 'server':
        if (config.serverHeader === ServerHeader.Overwrite) {
          if (hasServer) continue;
          list[i + 1] = config.serverName;
        }
        hasServer = true;
        break;
      case 'connection':
      case 'upgrade':
        if (keepsUpgrade) break;
        continue;
      case 'transfer-encoding':
      case 'keep-alive':
      case 'proxy-connection':
        continue;
    }
    if (kept !== i) {
      list[kept] = name;
      list[kept + 1] = list[i + 1]!;
    }
    kept += 2;
  }
  truncate(list, kept);
  if (!hasDate) list.push('date', httpDate(Date.now()));
  if (!hasServer && config.serverHeader !== ServerHeader.PassThrough) list.push('server', config.serverName);
  setRequestId(stream, headers);
  if (config.via !== '') appendVia(headers, config.via);
  const { addProxyStatus } = manager.shared;
  if (addProxyStatus !== null) {
    addProxyStatus(stream, headers);
    stream.info.responseCode = headers.status;
  }
  manager.finishResponseHeaders(stream, headers, keepsUpgrade);
}

/** When the configuration or the client asks for it. */
export function setRequestId(stream: Stream, headers: HeaderMap): void {
  if (!stream.manager.shared.config.alwaysSetRequestIdInResponse && !stream.isTraceForced) return;
  const id = stream.info.requestId || (stream.requestHeaders.get('x-request-id') ?? '');
  if (id !== '') headers.set('x-request-id', id);
}

export function appendVia(headers: HeaderMap, via: string): void {
  const before = headers.get('via');
  headers.set('via', before === undefined || before === '' ? via : `${before}, ${via}`);
}

export function isUpgradeResponse(stream: Stream, headers: HeaderMap): boolean {
  return stream.upgrade === 'connect'
    ? headers.status === 200
    : isUpgrade(headers.get('connection'), headers.get('upgrade'));
}
