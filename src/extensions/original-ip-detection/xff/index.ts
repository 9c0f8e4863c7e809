import type { ParseContext } from '#config/parse-context.ts';
import { defineOriginalIpDetection } from '#extension/original-ip-detection.ts';
import type { XffConfig } from '#schema/messages/envoy/extensions/http/original_ip_detection/xff/v3.ts';
import { TrustedProxiesDetection, type XffData, XffDetection } from './xff.ts';

export const xffDetection = defineOriginalIpDetection({
  kind: 'original_ip_detection',
  name: 'envoy.http.original_ip_detection.xff',
  type: 'envoy.extensions.http.original_ip_detection.xff.v3.XffConfig',
  parse(message: XffConfig, at: ParseContext): XffData {
    const cidrs = message.xff_trusted_cidrs?.cidrs;
    if (cidrs !== undefined && message.xff_num_trusted_hops > 0) {
      const problem = 'Cannot set both xff_num_trusted_hops and xff_trusted_cidrs';
      at.field('xff_trusted_cidrs').fail(problem, { envoy: problem });
    }
    return {
      trustedHops: message.xff_num_trusted_hops,
      trustedCidrs: cidrs?.map((it) => `${it.address_prefix}/${it.prefix_len ?? 0}`),
      appendsXff: !(message.skip_xff_append ?? true),
    };
  },
  prepare: (data) =>
    data.trustedCidrs === undefined
      ? new XffDetection(data)
      : new TrustedProxiesDetection(data.trustedCidrs, data.appendsXff),
});
