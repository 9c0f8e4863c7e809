import type { ParseContext } from '#config/parse-context.ts';
import { defineOriginalIpDetection } from '#extension/original-ip-detection.ts';
import type { CustomHeaderConfig } from '#schema/messages/envoy/extensions/http/original_ip_detection/custom_header/v3.ts';
import { enumType } from '#schema/registry.ts';
import { type CustomHeaderData, CustomHeaderDetection } from './custom-header.ts';

export const customHeaderDetection = defineOriginalIpDetection({
  kind: 'original_ip_detection',
  name: 'envoy.http.original_ip_detection.custom_header',
  type: 'envoy.extensions.http.original_ip_detection.custom_header.v3.CustomHeaderConfig',
  parse(message: CustomHeaderConfig, _at: ParseContext): CustomHeaderData {
    const reject = message.reject_with_status;
    // What is no error becomes 403, as in Envoy.
    const status =
      reject === undefined ? 0 : (enumType('envoy.type.v3.StatusCode')!.numberOf(reject.code) ?? 0);
    return {
      header: message.header_name.toLowerCase(),
      isTrusted: message.allow_extension_to_set_address_as_trusted,
      rejectStatus: reject === undefined ? 0 : status >= 400 ? status : 403,
    };
  },
  prepare: (data) => new CustomHeaderDetection(data),
});
