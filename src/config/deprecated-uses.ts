// `runtime.deprecated_feature_use`: how often Envoy sees deprecated fields of a bootstrap. It looks for them in what is packed: in
// configurations of network and HTTP filters twice, in others once. Listeners and clusters themselves are read before it counts.
import type { ConfigError } from './config-error.ts';

const packed =
  /(?:\b(\w+)(?:\[\d+\])?\.typed_config|\btyped_per_filter_config\[[^\]]*\]|\btyped_extension_protocol_options\[[^\]]*\])(?=\.)/g;

export function deprecatedUses(problems: readonly ConfigError[]): number {
  let uses = 0;
  for (const { rule, path } of problems) {
    if (rule !== 'deprecated-field') continue;
    const last = [...path.matchAll(packed)].at(-1);
    if (last !== undefined) uses += last[1] === 'filters' || last[1] === 'http_filters' ? 2 : 1;
    else if (path.startsWith('admin.')) uses++;
  }
  return uses;
}
