// What the proxy says of its configuration while it starts, in Envoy's words: scripts wait for some of it.
import { logger } from '#base/logger.ts';
import type { Registry } from '#extension/registry.ts';
import { toJson } from '#schema/json.ts';
import type { Bootstrap } from '#schema/messages/envoy/config/bootstrap/v3.ts';
import { message } from '#schema/registry.ts';
import { extensionsOf } from '../own-node.ts';

const main = logger('main');
const config = logger('config');
const runtime = logger('runtime');

export function logExtensions(registry: Registry): void {
  const byCategory = new Map<string, string[]>();
  for (const { category, name } of extensionsOf(registry)) {
    const names = byCategory.get(category);
    if (names === undefined) byCategory.set(category, [name]);
    else if (!names.includes(name)) names.push(name);
  }
  main.info('statically linked extensions:');
  for (const [category, names] of byCategory) main.info(`  ${category}: ${names.sort().join(', ')}`);
}

export function logRuntime({ layered_runtime: layers }: Bootstrap): void {
  const value = layers && toJson(message('envoy.config.bootstrap.v3.LayeredRuntime'), layers);
  main.info(`runtime: ${value === undefined ? '{}' : yamlOf(value, 0)}`);
}

export function logSections({ static_resources: resources }: Bootstrap): void {
  config.info('loading tracing configuration');
  config.info(`loading ${resources?.secrets.length ?? 0} static secret(s)`);
  config.info(`loading ${resources?.clusters.length ?? 0} cluster(s)`);
  config.info(`loading ${resources?.listeners.length ?? 0} listener(s)`);
  config.info('loading stats configuration');
}

/** Nothing of the runtime comes from a control plane. */
export function logRuntimeReady(): void {
  runtime.info('RTDS has finished initialization');
}

const connectionsMonitor = 'envoy.resource_monitors.global_downstream_max_connections';
const connectionsKey = 'overload.global_downstream_max_connections';

/** `maxConnections`: -1 when there is no limit. */
export function warnOfConnections(
  maxConnections: number,
  runtimeValues: Readonly<Record<string, unknown>>,
): void {
  if (connectionsKey in runtimeValues)
    main.warn(
      `Usage of the deprecated runtime key ${connectionsKey}, consider switching to \`${connectionsMonitor}\` instead.This runtime key will be removed in future.`,
    );
  if (maxConnections < 0)
    main.warn(
      `There is no configured limit to the number of allowed active downstream connections. Configure a limit in \`${connectionsMonitor}\` resource monitor.`,
    );
}

/** As yaml-cpp writes it: what is nested stands on lines of its own. */
function yamlOf(value: unknown, depth: number): string {
  const indent = '  '.repeat(depth);
  const nested = (it: unknown, deeper: number) =>
    typeof it === 'object' && it !== null
      ? `\n${isEmpty(it) ? '  '.repeat(deeper) : ''}${yamlOf(it, deeper)}`
      : ` ${yamlOf(it, 0)}`;
  if (typeof value === 'string') return isPlain(value) ? value : JSON.stringify(value);
  if (typeof value !== 'object' || value === null) return String(value ?? '~');
  if (isEmpty(value)) return Array.isArray(value) ? '[]' : '{}';
  if (Array.isArray(value))
    return value.map((it) => `${indent}- ${yamlOf(it, depth + 1).trimStart()}`).join('\n');
  return Object.entries(value)
    .map(([key, it]) => `${indent}${yamlOf(key, 0)}:${nested(it, depth + 1)}`)
    .join('\n');
}

function isEmpty(value: object): boolean {
  return Object.keys(value).length === 0;
}

/** What yaml-cpp writes without quotes, whatever it would be read as. */
function isPlain(text: string): boolean {
  return /^[\w./+]([^\n\t:#"'{}[\],&*!|>%@`]*[^\s:])?$/.test(text) && !/^(null|Null|NULL)$/.test(text);
}
