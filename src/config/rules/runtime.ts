// Layers of the runtime: one name each, at most one for operators, and folders that can be watched.

import { type Rule, rule } from './rule.ts';
import { watchProblem } from './watched-path.ts';
import { needNode } from './xds.ts';

export const runtimeRules: readonly Rule[] = [
  rule('envoy.config.bootstrap.v3.LayeredRuntime', (runtime, at) => {
    const names = new Set<string>();
    let hasAdmin = false;
    runtime.layers.forEach((layer, i) => {
      const here = at.field('layers', i);
      if (names.has(layer.name)) {
        here.field('name').fail(`"${layer.name}" is the name of another layer`, {
          rule: 'runtime-config',
          got: layer.name,
          envoy: `Duplicate layer name: ${layer.name}`,
          suggestion: 'rename one of them',
        });
      }
      names.add(layer.name);
      if (layer.admin_layer === undefined) return;
      if (hasAdmin) {
        here.field('admin_layer').fail('there can be one admin layer', {
          rule: 'runtime-config',
          envoy: 'Too many admin layers specified in LayeredRuntime, at most one may be specified',
          suggestion: 'remove one of them',
        });
      }
      hasAdmin = true;
    });
  }),
  rule('envoy.config.bootstrap.v3.RuntimeLayer.DiskLayer', ({ symlink_root: root }, at) => {
    const envoy = watchProblem(root);
    if (envoy === undefined) return;
    at.field('symlink_root').fail('the folder of the link cannot be watched', {
      rule: 'missing-file',
      got: root,
      envoy,
      suggestion: 'the link may be missing, not the folder that it stands in',
    });
  }),
  rule('envoy.config.bootstrap.v3.RuntimeLayer.RtdsLayer', (_, at, scope) =>
    needNode(at, scope, 'type.googleapis.com/envoy.service.runtime.v3.Runtime'),
  ),
];
