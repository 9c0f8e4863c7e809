// Ways to find out who the client behind other proxies is (`original_ip_detection_extensions` of the connection manager).
import type { ParseContext } from '#config/parse-context.ts';
import type { HeaderMap } from '#http/header-map.ts';
import type { Extension, Registry } from './registry.ts';

export interface OriginalIpDetection {
  /** May an address that `detect` returned last make a request internal? */
  readonly isTrusted: boolean;
  /** The address of the peer is appended to x-forwarded-for, detected or not. */
  readonly appendsXff: boolean;
  /** Status of the answer to a request of which nothing is known; 0 lets the next way try. */
  readonly rejectStatus: number;
  /** Hot. An IP address, or empty. `peerIp` is empty on a Unix socket. */
  detect(headers: HeaderMap, peerIp: string): string;
}

export interface OriginalIpDetectionExtension<Message = never, Config = never>
  extends Extension<'original_ip_detection'> {
  parse(message: Message, at: ParseContext, registry: Registry): Config;
  /** Once per connection manager and worker. */
  prepare(config: Config): OriginalIpDetection;
}

/** Only carries the types. */
export function defineOriginalIpDetection<Message, Config>(
  extension: OriginalIpDetectionExtension<Message, Config>,
): OriginalIpDetectionExtension {
  return extension as unknown as OriginalIpDetectionExtension;
}
