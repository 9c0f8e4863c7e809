// `application_log_config`: the format of the proxy's own log, from the bootstrap instead of the command line.
import type { ParseContext } from '#config/parse-context.ts';
import type { Bootstrap } from '#schema/messages/envoy/config/bootstrap/v3.ts';

/** The pattern as `--log-format` takes it; undefined when there is none. */
export function applicationLogFormat(
  { application_log_config }: Bootstrap,
  at: ParseContext,
): string | undefined {
  const { text_format, json_format } = application_log_config?.log_format ?? {};
  if (json_format === undefined) return text_format;
  const text = JSON.stringify(json_format);
  const here = at.field('application_log_config').field('log_format').field('json_format');
  // A message is any text: it has to be escaped to stand in JSON.
  if (/%[-=\d!]*v/.test(text)) {
    here.fail('"%v" is not escaped: use "%j"', {
      envoy: 'setJsonLogFormat: INVALID_ARGUMENT: Usage of %v is unavailable for JSON log formats',
    });
  }
  // %* adds the tags of the message as more members.
  return `${text.slice(0, -1)}%*}`;
}
