import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ParseContext } from '#config/parse-context.ts';
import type { Host } from '#extension/load-balancer.ts';
import { Registry } from '#extension/registry.ts';
import type { RetryHostPredicateExtension } from '#extension/retry-host-predicate.ts';
import { omitCanaryHosts, omitHostMetadata, previousHosts } from './index.ts';

const host = (address: string, lb?: object) =>
  ({ address, metadata: lb && { 'envoy.lb': lb } }) as unknown as Host;

function predicate(extension: RetryHostPredicateExtension, message: object = {}) {
  const config = extension.parse(message as never, new ParseContext('', []), new Registry([]));
  return extension.prepare(structuredClone(config) as never);
}

test('previous_hosts rejects what was tried', () => {
  const it = predicate(previousHosts);
  assert.equal(it.rejects(host('a'), []), false);
  assert.equal(it.rejects(host('a'), [host('b'), host('a')]), true);
});

test('omit_canary_hosts rejects canaries', () => {
  const it = predicate(omitCanaryHosts);
  assert.equal(it.rejects(host('a'), []), false);
  assert.equal(it.rejects(host('a', { canary: 'true' }), []), false);
  assert.equal(it.rejects(host('a', { canary: true }), []), true);
});

test('omit_host_metadata rejects hosts that have all of it', () => {
  const match = (lb: object) => ({ metadata_match: { filter_metadata: { 'envoy.lb': lb } } });
  const it = predicate(omitHostMetadata, match({ stage: 'old', parts: [1, 2] }));
  assert.equal(it.rejects(host('a'), []), false);
  assert.equal(it.rejects(host('a', { stage: 'old' }), []), false);
  assert.equal(it.rejects(host('a', { stage: 'old', parts: [1, 2], more: true }), []), true);
  assert.equal(predicate(omitHostMetadata, match({})).rejects(host('a', { stage: 'old' }), []), false);
  assert.equal(predicate(omitHostMetadata).rejects(host('a', { stage: 'old' }), []), false);
});
