// How a connection manager tidies paths: what it says itself, and for what it leaves open the runtime values, as Envoy asks them
// when it loads a configuration.
import type { Runtime } from '#extension/runtime.ts';
import { EscapedSlashes, type PathOptions } from '#http/path.ts';
import type { HttpConnectionManager } from '#schema/messages/envoy/extensions/filters/network/http_connection_manager/v3.ts';

export interface PathSettings {
  readonly normalizes: boolean | undefined;
  readonly mergesSlashes: boolean;
  readonly escapedSlashes: EscapedSlashes | undefined;
}

const slashActions: Readonly<Record<string, EscapedSlashes>> = {
  KEEP_UNCHANGED: EscapedSlashes.KeepUnchanged,
  REJECT_REQUEST: EscapedSlashes.Reject,
  UNESCAPE_AND_REDIRECT: EscapedSlashes.UnescapeAndRedirect,
  UNESCAPE_AND_FORWARD: EscapedSlashes.UnescapeAndForward,
};

export function parsePathSettings(message: HttpConnectionManager): PathSettings {
  return {
    normalizes: message.normalize_path,
    mergesSlashes: message.merge_slashes,
    escapedSlashes: slashActions[message.path_with_escaped_slashes_action],
  };
}

const escapedSlashesEnabled = {
  numerator: 100,
  denominator: 100,
  runtimeKey: 'http_connection_manager.path_with_escaped_slashes_action_enabled',
};

/** Undefined: paths stay as they come. `random` decides a share that runtime values name. */
export function pathOptions(
  settings: PathSettings,
  runtime: Runtime,
  random: number,
): PathOptions | undefined {
  const normalizes =
    settings.normalizes ?? runtime.enabledPercent('http_connection_manager.normalize_path', 0, random);
  let { escapedSlashes } = settings;
  if (escapedSlashes === undefined) escapedSlashes = slashesOf(runtime);
  else if (!runtime.enabled(escapedSlashesEnabled, random)) escapedSlashes = EscapedSlashes.KeepUnchanged;
  const { mergesSlashes } = settings;
  if (!normalizes && !mergesSlashes && escapedSlashes === EscapedSlashes.KeepUnchanged) return undefined;
  return { normalizes, mergesSlashes, escapedSlashes };
}

/** By the number of the enum's value. */
function slashesOf(runtime: Runtime): EscapedSlashes {
  switch (runtime.integer('http_connection_manager.path_with_escaped_slashes_action', 1)) {
    case 2:
      return EscapedSlashes.Reject;
    case 3:
      return EscapedSlashes.UnescapeAndRedirect;
    case 4:
      return EscapedSlashes.UnescapeAndForward;
    default:
      return EscapedSlashes.KeepUnchanged;
  }
}
