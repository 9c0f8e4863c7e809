// What a service says about a request or a connection, for later filters and access logs.
import type { StreamInfo } from './stream-info.ts';

/** Merges into what is there under `name`. */
export function addDynamicMetadata(
  info: StreamInfo,
  name: string,
  values: Readonly<Record<string, unknown>>,
): void {
  info.dynamicMetadata ??= {};
  info.dynamicMetadata[name] = { ...info.dynamicMetadata[name], ...values };
}
