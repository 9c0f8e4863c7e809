import assert from 'node:assert/strict';
import { test } from 'node:test';
import { translatedHeaderFormat } from './header-format.ts';

const cases: Readonly<Record<string, string>> = {
  plain: 'plain',
  '%UPSTREAM_METADATA(["a.b","x"])%': '%UPSTREAM_METADATA(a.b:x)%',
  '%DYNAMIC_METADATA( ["a" , "b"] )%!': '%DYNAMIC_METADATA(a:b)%!',
  '%UPSTREAM_METADATA(["a","b"])%-%UPSTREAM_METADATA(["c"])%':
    '%UPSTREAM_METADATA(a:b)%-%UPSTREAM_METADATA(c)%',
  '%PER_REQUEST_STATE(x.y)%': '%FILTER_STATE(x.y:PLAIN)%',
  // Envoy reads these as they are.
  '%UPSTREAM_METADATA([])%': '%UPSTREAM_METADATA([])%',
  '%UPSTREAM_METADATA([1])%': '%UPSTREAM_METADATA([1])%',
  '%UPSTREAM_METADATA(["a)%': '%UPSTREAM_METADATA(["a)%',
  '%CLUSTER_METADATA(["a","b"])%': '%CLUSTER_METADATA(["a","b"])%',
};

for (const [value, translated] of Object.entries(cases)) {
  test(`reads ${value}`, () => {
    assert.equal(translatedHeaderFormat(value), translated);
  });
}
