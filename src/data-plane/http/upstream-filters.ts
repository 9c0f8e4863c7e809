// Filters between router and upstream: messages -> plain data on the main thread, and what workers make of it.
import type { ParseContext } from '#config/parse-context.ts';
import type { FilterContext, HttpFilterExtension } from '#extension/http-filter.ts';
import { onlyFields } from '#extension/message-fields.ts';
import { type Configured, type Registry, typeOf } from '#extension/registry.ts';
import type { HttpFilter } from '#schema/messages/envoy/extensions/filters/network/http_connection_manager/v3.ts';
import type { UpstreamFilterPlan } from './attempt-filters.ts';

export type UpstreamFilterData = Configured & { readonly disabled: boolean };

const codecType = 'envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec';

/** Undefined: none are configured. The last one is the codec (`config/rules/extensions.ts`). */
export function parseUpstreamFilters(
  messages: readonly HttpFilter[],
  at: ParseContext,
  field: string,
  registry: Registry,
): readonly UpstreamFilterData[] | undefined {
  if (messages.length === 0) return undefined;
  const filters: UpstreamFilterData[] = [];
  messages.forEach((filter, i) => {
    const here = at.field(field, i);
    onlyFields(filter, here, ['name', 'typed_config', 'is_optional', 'disabled']);
    const type = typeOf(filter.typed_config);
    if (type === codecType) return;
    const extension = registry.byType<HttpFilterExtension>('http_filter', type);
    if (extension?.prepareUpstream === undefined) {
      if (!filter.is_optional) here.unsupported('is not supported by chancery on the way to the upstream');
      return;
    }
    const configured = registry.parse('http_filter', filter, here);
    if (configured !== undefined) filters.push({ ...configured, disabled: filter.disabled });
  });
  return filters;
}

/** Null: none are configured. */
export function prepareUpstreamFilters(
  filters: readonly UpstreamFilterData[] | undefined,
  registry: Registry,
  contextOf: (name: string) => FilterContext,
): UpstreamFilterPlan | null {
  if (filters === undefined) return null;
  return {
    names: filters.map((it) => it.name),
    filters: filters.map((it) =>
      registry.byName<HttpFilterExtension>('http_filter', it.extension)!.prepareUpstream!(
        it.config as never,
        contextOf(it.name),
      ),
    ),
    disabled: filters.map((it) => it.disabled),
  };
}
