// Where resources come from that are not in the bootstrap: `dynamic_resources`, and the config sources of what is discovered. Files only.
import type { ParseContext } from '#config/parse-context.ts';
import { onlyFields } from '#extension/message-fields.ts';
import type { Bootstrap_DynamicResources } from '#schema/messages/envoy/config/bootstrap/v3.ts';
import type { ConfigSource } from '#schema/messages/envoy/config/core/v3.ts';
import type { FileSourceConfig } from '#xds/file-source.ts';

export interface DynamicResourcesConfig {
  readonly lds: FileSourceConfig | undefined;
  readonly cds: FileSourceConfig | undefined;
}

export function parseDynamicResources(
  message: Bootstrap_DynamicResources | undefined,
  at: ParseContext,
): DynamicResourcesConfig {
  if (message === undefined) return { lds: undefined, cds: undefined };
  onlyFields(message, at, ['lds_config', 'cds_config']);
  return {
    lds: message.lds_config && parseConfigSource(message.lds_config, at.field('lds_config')),
    cds: message.cds_config && parseConfigSource(message.cds_config, at.field('cds_config')),
  };
}

/** Undefined: a problem was reported. */
export function parseConfigSource(message: ConfigSource, at: ParseContext): FileSourceConfig | undefined {
  onlyFields(message, at, [
    'path_config_source',
    'path',
    'resource_api_version',
    // Nothing has to be waited for.
    'initial_fetch_timeout',
    'api_config_source',
    'ads',
    'self',
  ]);
  const { path_config_source: source, path } = message;
  if (source !== undefined)
    return { path: source.path, watchedDirectory: source.watched_directory?.path ?? '' };
  if (path !== undefined) return { path, watchedDirectory: '' };
  const kind = (['api_config_source', 'ads', 'self'] as const).find((it) => message[it] !== undefined);
  if (kind !== undefined)
    at.field(kind).unsupported('is not supported by chancery yet', {
      suggestion: 'write "path_config_source: {path: ...}"',
    });
  return undefined;
}
