// The format of an access log that was given none, and the choice among the fields that may give one.
import type { ParseContext } from '#config/parse-context.ts';
import type { SubstitutionFormatString } from '#schema/messages/envoy/config/core/v3.ts';
import { type FormatData, parseFormatString } from './format-config.ts';

export const defaultAccessLogFormat =
  '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% ' +
  '%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" ' +
  '"%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%"\n';

export function textFormat(text: string): FormatData {
  return { text, json: undefined, omitEmptyValues: false, contentType: '', commands: [] };
}

/** `log_format`; `at` stands on the message that has it. */
export function parseLogFormat(message: SubstitutionFormatString | undefined, at: ParseContext): FormatData {
  if (message === undefined) return textFormat(defaultAccessLogFormat);
  const here = at.field('log_format');
  const { text_format: text, text_format_source: source, json_format: json } = message;
  if (text === undefined && source === undefined && json === undefined)
    here.fail('needs one of: text_format, json_format, text_format_source');
  return parseFormatString(message, here);
}
