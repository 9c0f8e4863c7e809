import { defineHttpFilter } from '#extension/http-filter.ts';
import { parseBuffer, parseBufferPerRoute } from './config.ts';
import { BufferFilter } from './filter.ts';

export const buffer = defineHttpFilter({
  kind: 'http_filter',
  name: 'envoy.filters.http.buffer',
  type: 'envoy.extensions.filters.http.buffer.v3.Buffer',
  routeType: 'envoy.extensions.filters.http.buffer.v3.BufferPerRoute',
  parse: parseBuffer,
  parseRoute: parseBufferPerRoute,
  prepare(config, { name }) {
    return () => new BufferFilter(config, name);
  },
});
