// What is said about an address that cannot be bound.
import { addressText } from '#base/address-text.ts';
import { logger } from '#base/logger.ts';
import { systemErrorText } from '#base/system-errors.ts';
import type { FromWorker } from '../worker-protocol.ts';

const connectionLog = logger('connection');

/** An address could not be bound. */
export class ListenError extends Error {
  override readonly name = 'ListenError';
}

export function bindProblem(address: string, port: number, code: string, message: string): string {
  return `cannot bind '${addressText(address, port)}': ${systemErrorText(code) ?? message}`;
}

/** `name`: of the listener. */
export function listenProblem(
  name: string,
  {
    address,
    code,
    message,
    socketOption,
  }: Pick<FromWorker & { readonly type: 'listen_failed' }, 'address' | 'code' | 'message' | 'socketOption'>,
): string {
  if (socketOption === undefined) return bindProblem(address.address, address.port, code, message);
  connectionLog.warn(
    `Setting ${socketOption.label} option on socket failed: ${systemErrorText(code) ?? message}`,
  );
  return `${socketOption.isBound ? name : 'ListenSocket'}: Setting socket options failed`;
}
