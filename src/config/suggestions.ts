// What a user probably meant: the part of an error that fixes the file. Only runs when something is wrong, so it may take its time.

import type { EnumType, Field, MessageType } from '#schema/descriptor.ts';
import { messageNames, messageOfTypeUrl } from '#schema/registry.ts';
import { nearest } from './edit-distance.ts';
import { type Tree, TreeList, TreeMap } from './tree.ts';

/** A message around the unknown field, outermost first; `field` is the field of it that is being read. */
export interface Around {
  readonly type: MessageType;
  readonly tree: TreeMap;
  readonly field: string;
}

type Hint = { readonly suggestion?: string };

/** Names that Envoy's v2 API and old examples use, and what took their place. */
const renamed: Readonly<Record<string, string>> = {
  'envoy.config.cluster.v3.Cluster.hosts':
    'v3 has no "hosts": write the addresses under "load_assignment.endpoints[].lb_endpoints[].endpoint"',
  'envoy.config.cluster.v3.Cluster.tls_context':
    'v3 has no "tls_context": use "transport_socket" with an UpstreamTlsContext in "typed_config"',
  'envoy.config.cluster.v3.Cluster.extension_protocol_options': 'use "typed_extension_protocol_options"',
  'envoy.config.listener.v3.FilterChain.tls_context':
    'v3 has no "tls_context": use "transport_socket" with a DownstreamTlsContext in "typed_config"',
  'envoy.config.listener.v3.Filter.config': 'v3 has no "config": use "typed_config" with an "@type"',
  'envoy.config.route.v3.RouteMatch.regex': 'use "safe_regex: {regex: ...}"',
  'envoy.config.route.v3.VirtualHost.per_filter_config': 'use "typed_per_filter_config"',
  'envoy.config.route.v3.Route.per_filter_config': 'use "typed_per_filter_config"',
  'envoy.config.route.v3.CorsPolicy.allow_origin': 'use "allow_origin_string_match: [{exact: ...}]"',
  'envoy.config.route.v3.RouteAction.request_mirror_policy': 'use the list "request_mirror_policies"',
  'envoy.config.core.v3.GrpcService.EnvoyGrpc.cluster': 'did you mean "cluster_name"?',
  'envoy.config.bootstrap.v3.Bootstrap.runtime': 'use "layered_runtime"',
  'envoy.config.bootstrap.v3.Bootstrap.rate_limit_service':
    'configure the rate limit service in the filter that uses it',
};

const removed: Readonly<Record<string, string>> = {
  config: 'v3 has no "config": use "typed_config" with an "@type"',
  per_filter_config: 'use "typed_per_filter_config"',
  deprecated_v1: 'v1 names are gone',
};

export const Suggestions = {
  unknownField(type: MessageType, key: string, value: Tree, around: readonly Around[]): string | undefined {
    const old = renamed[`${type.name}.${key}`] ?? (type.field('typed_config') && removed[key]);
    if (old !== undefined) return old;
    const here = around.at(-1);
    const empty = here && emptySibling(here, key);
    if (empty !== undefined)
      return `"${key}" belongs one level deeper, under "${empty}": indent it below "${empty}:"`;
    const similar = nearest(key, fieldNames(type));
    if (similar !== undefined) return `did you mean "${similar}"?`;
    if (key === '<<')
      return 'Envoy does not merge YAML keys with <<: write the fields out, or alias the whole value';
    const outer = outerOwner(key, value, around);
    if (outer !== undefined) return outer;
    const deeper = deeperOwner(type, key, value, here);
    if (deeper !== undefined) return `"${key}" belongs one level deeper, under "${deeper}"`;
    if (type.reservedNames.includes(key)) return `"${key}" was removed from the API`;
    if (key === '@type') return `"@type" only stands inside "typed_config" and other fields of any type`;
    return undefined;
  },

  knownFields(type: MessageType): string {
    const names = fieldNames(type);
    if (names.length === 0) return `no fields: ${type.name} is empty`;
    const shown = names.length > 12 ? [...names.slice(0, 10), `... (${names.length} fields)`] : names;
    return `one of ${shown.join(', ')}`;
  },

  enumValue(type: EnumType, text: string): string | undefined {
    const similar = nearest(
      text,
      type.values.map((it) => it.name),
    );
    return similar === undefined ? undefined : `did you mean "${similar}"?`;
  },

  enumValues(type: EnumType): string {
    const names = type.values.map((it) => it.name);
    return names.length > 16 ? `one of ${names.slice(0, 14).join(', ')}, ...` : `one of ${names.join(', ')}`;
  },

  /** YAML made something else of a text without quotes. */
  quotes(tree: Tree): Hint {
    if (typeof tree === 'boolean') {
      return {
        suggestion: `put quotes around it: in YAML a plain y, n, yes, no, on, off, true or false is a boolean`,
      };
    }
    if (typeof tree === 'number' || typeof tree === 'bigint')
      return { suggestion: `put quotes around it: "${tree}"` };
    if (tree instanceof TreeList && tree.items.length === 1 && typeof tree.items[0] === 'string') {
      return { suggestion: 'remove the "- " or the brackets: this is a single value' };
    }
    return {};
  },

  number(text: string): Hint {
    const unit = /^([0-9.]+)\s*(ms|s|m|h|[kKmMgG]i?[bB]?|[bB]|%)$/.exec(text);
    if (unit === null) return {};
    const factors: Readonly<Record<string, number>> = { k: 1024, m: 1024 ** 2, g: 1024 ** 3 };
    const factor = factors[unit[2]![0]!.toLowerCase()];
    if (factor !== undefined && unit[2] !== 'ms' && unit[2] !== 'm') {
      return { suggestion: `write the number of bytes: ${Math.round(Number(unit[1]) * factor)}` };
    }
    return { suggestion: `write the number without a unit: ${unit[1]}` };
  },

  duration(tree: Tree): Hint {
    if (typeof tree === 'number') return { suggestion: `a duration needs its unit: ${tree}s` };
    if (typeof tree !== 'string') return {};
    const match = /^(-?[0-9]*\.?[0-9]+)\s*(ns|us|ms|s|sec|seconds?|m|min|minutes?|h|hours?|d|days?)?$/i.exec(
      tree,
    );
    if (match === null) return {};
    const unit = (match[2] ?? 's').toLowerCase();
    const factor =
      unit === 'ns'
        ? 1e-9
        : unit === 'us'
          ? 1e-6
          : unit === 'ms'
            ? 1e-3
            : unit[0] === 'm'
              ? 60
              : unit[0] === 'h'
                ? 3600
                : unit[0] === 'd'
                  ? 86400
                  : 1;
    const seconds = Number((Number(match[1]) * factor).toFixed(9));
    if (match[2] === undefined) return { suggestion: `a duration needs its unit: "${seconds}s"` };
    return { suggestion: `durations are in seconds: "${seconds}s"` };
  },

  listForObject(list: TreeList): string | undefined {
    return list.items.length === 1
      ? 'remove the "- ": this field is not a list'
      : 'this field is not a list: keep one element, without "- "';
  },

  scalarForObject(type: MessageType, tree: Tree): string | undefined {
    if (tree === null) return undefined;
    const text = typeof tree === 'string' ? tree : String(tree);
    const field =
      type.fields.find((it) => it.kind === 'scalar' && it.scalar === 'string' && it.rules !== undefined) ??
      type.fields.find((it) => it.kind === 'scalar' && it.scalar === 'string');
    return field === undefined ? undefined : `did you mean "${field.name}: ${text}" one level deeper?`;
  },

  missingType(tree: TreeMap): Hint {
    const similar = tree.keys.find((it) => /^@?type(_url)?$/i.test(it));
    if (similar !== undefined) return { suggestion: `write "@type" (with quotes) instead of "${similar}"` };
    return { suggestion: 'add "@type": type.googleapis.com/<full name of the message> as its first line' };
  },

  typeUrl(url: string): Hint {
    const name = url.slice(url.lastIndexOf('/') + 1);
    if (messageOfTypeUrl(`type.googleapis.com/${name}`) !== undefined) {
      return { suggestion: `did you mean "type.googleapis.com/${name}"?` };
    }
    const all = messageNames();
    const simple = name.slice(name.lastIndexOf('.') + 1);
    const sameName = all.filter((it) => it.endsWith(`.${simple}`));
    const best = sameName.length > 0 ? (nearestAlways(name, sameName) ?? sameName[0]) : nearest(name, all);
    if (best === undefined) return {};
    const isV2 = /\.(?:v2|v2alpha|v1)(?:\.|$)|^envoy\.api\./.test(name);
    const prefix = url.includes('/') ? url.slice(0, url.lastIndexOf('/') + 1) : 'type.googleapis.com/';
    return { suggestion: `${isV2 ? 'the v2 API is gone: ' : ''}did you mean "${prefix}${best}"?` };
  },
};

function fieldNames(type: MessageType): string[] {
  return type.fields.map((it) => it.name);
}

/** Of several candidates that share the last name, the one with the longest common beginning. */
function nearestAlways(name: string, candidates: readonly string[]): string | undefined {
  let best: string | undefined;
  let bestLength = -1;
  for (const candidate of candidates) {
    let length = 0;
    while (length < name.length && name[length] === candidate[length]) length++;
    if (length > bestLength) {
      best = candidate;
      bestLength = length;
    }
  }
  return best;
}

/** `endpoint:` with nothing below it, where `address` on the same level was meant to go into it. */
function emptySibling(here: Around, key: string): string | undefined {
  for (let i = 0; i < here.tree.keys.length; i++) {
    if (here.tree.values[i] !== null) continue;
    const field = fieldOf(here.type, here.tree.keys[i]!);
    const inner = field && messageOf(field);
    if (inner && fieldOf(inner, key) !== undefined) return field.name;
  }
  return undefined;
}

/** A field of a message further out: the line is indented too far. */
function outerOwner(key: string, value: Tree, around: readonly Around[]): string | undefined {
  for (let i = around.length - 2; i >= 0 && i >= around.length - 4; i--) {
    const { type, field } = around[i]!;
    const owner = fieldOf(type, key);
    if (owner === undefined || !fits(owner, value)) continue;
    const levels = around.length - 1 - i;
    return `"${key}" belongs ${levels === 1 ? 'one level' : `${levels} levels`} further out, beside "${field}"`;
  }
  return undefined;
}

/** A field of a message below: the line is not indented far enough. Something that is set already is the better guess. */
function deeperOwner(
  type: MessageType,
  key: string,
  value: Tree,
  here: Around | undefined,
): string | undefined {
  let found: string | undefined;
  for (const field of type.fields) {
    const inner = messageOf(field);
    const owner = inner && fieldOf(inner, key);
    if (owner === undefined || !fits(owner, value)) continue;
    if (here?.tree.keys.some((it) => fieldOf(type, it) === field)) return field.name;
    found ??= field.name;
  }
  return found;
}

function fieldOf(type: MessageType, key: string): Field | undefined {
  return type.field(key) ?? type.fieldByJsonName(key);
}

function messageOf(field: Field): MessageType | undefined {
  return field.kind === 'message' && field.message.wellKnown === undefined ? field.message : undefined;
}

function fits(field: Field, value: Tree): boolean {
  if (value === null) return true;
  if (value instanceof TreeList) return field.isRepeated;
  if (value instanceof TreeMap) return field.kind === 'map' || field.kind === 'message';
  return field.kind !== 'map' && (field.kind !== 'message' || field.message.wellKnown !== undefined);
}
