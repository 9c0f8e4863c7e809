// `Tap` with a `static_config` -> plain data.
import type { ParseContext } from '#config/parse-context.ts';
import { onlyFields } from '#extension/message-fields.ts';
import type { Configured, Registry } from '#extension/registry.ts';
import type { RuntimeFraction } from '#extension/runtime.ts';
import { runtimeFraction } from '#extension/runtime-config.ts';
import type { MatchPredicate } from '#schema/messages/envoy/config/common/matcher/v3.ts';
import type {
  MatchPredicate as OldMatchPredicate,
  OutputSink_Format,
} from '#schema/messages/envoy/config/tap/v3.ts';
import type { Tap } from '#schema/messages/envoy/extensions/transport_sockets/tap/v3.ts';
import type { FractionalPercent } from '#schema/messages/envoy/type/v3.ts';

export interface TapConfig {
  readonly inner: Configured | undefined;
  readonly statsPrefix: string;
  /** What matches HTTP never matches here. */
  readonly matches: boolean;
  readonly sampling: RuntimeFraction | undefined;
  /** Of `sampling`, as traces show it. */
  readonly sampleRate: FractionalPercent | undefined;
  readonly format: OutputSink_Format;
  readonly pathPrefix: string;
  readonly isStreaming: boolean;
  readonly maxRxBytes: number;
  readonly maxTxBytes: number;
  /** Events of a stream are collected until they have so many bytes; 0: each is written at once. */
  readonly minStreamedBytes: number;
  readonly addressesInEvents: boolean;
}

const defaultMaxBytes = 1024;

/** `kind` is that of the transport socket inside. */
export function parseTap(kind: string, message: Tap, at: ParseContext, registry: Registry): TapConfig {
  onlyFields(message, at, ['common_config', 'transport_socket', 'socket_tap_config']);
  const inner = registry.parse(kind, message.transport_socket!, at.field('transport_socket'));
  const common = at.field('common_config');
  if (message.common_config?.admin_config !== undefined)
    common.field('admin_config').unsupported('the admin interface of chancery has no /tap');
  const config = message.common_config?.static_config;
  const here = common.field('static_config');
  if (config !== undefined)
    onlyFields(config, here, ['match_config', 'match', 'output_config', 'tap_enabled']);
  const output = config?.output_config;
  const [sink] = output?.sinks ?? [];
  if (sink !== undefined)
    onlyFields(sink, here.field('output_config').field('sinks', 0), ['format', 'file_per_tap']);
  const match = config?.match ?? config?.match_config;
  const enabled = config?.tap_enabled;
  return {
    inner,
    statsPrefix: message.socket_tap_config?.stats_prefix ?? '',
    matches: match !== undefined && isAlwaysTrue(match),
    sampling: enabled && runtimeFraction(enabled),
    sampleRate: enabled?.default_value,
    format: sink?.format ?? 'JSON_BODY_AS_BYTES',
    pathPrefix: sink?.file_per_tap?.path_prefix ?? '',
    isStreaming: output?.streaming ?? false,
    maxRxBytes: output?.max_buffered_rx_bytes ?? defaultMaxBytes,
    maxTxBytes: output?.max_buffered_tx_bytes ?? defaultMaxBytes,
    minStreamedBytes: output?.min_streamed_sent_bytes ?? 0,
    addressesInEvents: message.socket_tap_config?.set_connection_per_event ?? false,
  };
}

/** There is nothing about a connection to match: what is not about HTTP is known now. */
function isAlwaysTrue(match: MatchPredicate | OldMatchPredicate): boolean {
  if (match.or_match !== undefined) return match.or_match.rules.some(isAlwaysTrue);
  if (match.and_match !== undefined) return match.and_match.rules.every(isAlwaysTrue);
  if (match.not_match !== undefined) return !isAlwaysTrue(match.not_match);
  return match.any_match === true;
}
