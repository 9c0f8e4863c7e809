// Envoy's own dumps, read and printed again: the same fields in the same order in the same form.
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { ConfigError } from '#config/config-error.ts';
import { readMessage } from '#config/read-message.ts';
import { treeOf } from '#config/tree-of.ts';
import type { MessageType } from '#schema/descriptor.ts';
import { jsonText, toJson } from '#schema/json.ts';
import { message } from '#schema/registry.ts';

const type: MessageType = message('envoy.admin.v3.ConfigDump') as MessageType<object> as MessageType;

interface Dump {
  configs: { bootstrap?: { node: Record<string, unknown> } }[];
}

const paths = globSync('test/golden/*/admin-config_dump.json');
assert.ok(paths.length > 0);
for (const path of paths)
  test(`prints ${path} as Envoy did`, () => {
    const dump = JSON.parse(readFileSync(path, 'utf8')) as Dump;
    // The recorded list is shortened by a text; the order in this map is random in Envoy.
    const node = dump.configs[0]!.bootstrap!.node;
    delete node.extensions;
    delete (node.user_agent_build_version as { metadata?: unknown }).metadata;
    const problems: ConfigError[] = [];
    const read = readMessage(type, treeOf(dump), problems);
    assert.deepEqual(problems, []);
    assert.equal(jsonText(toJson(type, read)), jsonText(dump));
  });
