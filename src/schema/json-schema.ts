// A JSON Schema for editors, from the descriptors and their rules: completion and checks while a configuration is typed. Draft 7, which is
// what the JSON and YAML services of editors know best. It accepts what Envoy accepts in common use: both spellings of a name, numbers in
// quotes. What JSON Schema cannot say (durations in a range, bytes) is left to `chancery validate`.
import type { EnumType, Field, MessageType, Oneof, Rules, Scalar } from './descriptor.ts';
import { message, messageNames } from './registry.ts';
import { typeUrlPrefix } from './values.ts';

export type JsonSchema = { [keyword: string]: unknown };

/** The schema of a document that holds that message, undefined when there is none of that name. */
export function jsonSchema(name: string): JsonSchema | undefined {
  const type = message(name);
  if (!type) return undefined;
  const writer = new SchemaWriter();
  const root = writer.reference(type);
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: name,
    ...(root.$ref ? { allOf: [root] } : root),
    definitions: writer.definitions(),
  };
}

/**
 * What may stand in a google.protobuf.Any of a configuration: extensions, resources and what no other message has as a field. The rest
 * of the 1800 would only be in the way of completion.
 */
export function packableTypes(): MessageType[] {
  const types = messageNames()
    .map((name) => message(name)!)
    .filter((it) => /^(envoy|xds\.(core|type)|udpa\.type)\./.test(it.name) && isTopLevel(it));
  const used = new Set(types.flatMap((type) => type.fields.map((it) => it.typeName)));
  return types.filter(
    (it) =>
      it.name.startsWith('envoy.extensions.') ||
      resources.has(it.name) ||
      (/^(envoy\.config|xds|udpa\.type)\./.test(it.name) && !used.has(it.name)),
  );
}

const isTopLevel = (type: MessageType) => !type.name.slice(type.file.package.length + 1).includes('.');

const resources: ReadonlySet<string> = new Set([
  'envoy.config.listener.v3.Listener',
  'envoy.config.cluster.v3.Cluster',
  'envoy.config.route.v3.RouteConfiguration',
  'envoy.config.route.v3.ScopedRouteConfiguration',
  'envoy.config.route.v3.VirtualHost',
  'envoy.config.endpoint.v3.ClusterLoadAssignment',
  'envoy.config.core.v3.TypedExtensionConfig',
  'envoy.service.runtime.v3.Runtime',
]);

const wellKnownInAny = [
  'Duration',
  'Struct',
  'StringValue',
  'BoolValue',
  'UInt32Value',
  'UInt64Value',
  'Int64Value',
  'BytesValue',
];

class SchemaWriter {
  readonly #definitions = new Map<string, JsonSchema>();
  readonly #waiting: MessageType[] = [];
  readonly #packable = packableTypes();
  readonly #packableNames = new Set(this.#packable.map((it) => it.name));

  /** The definitions that were referred to, and those that they refer to. */
  definitions(): JsonSchema {
    for (let type = this.#waiting.pop(); type; type = this.#waiting.pop())
      this.#definitions.set(type.name, type.wellKnown === 'any' ? this.#any() : this.#message(type));
    return Object.fromEntries([...this.#definitions].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  reference(type: MessageType): JsonSchema {
    switch (type.wellKnown) {
      case undefined:
      case 'any':
        if (!this.#definitions.has(type.name)) {
          this.#definitions.set(type.name, {});
          this.#waiting.push(type);
        }
        return { $ref: `#/definitions/${type.name}` };
      case 'wrapper':
        return scalarSchema(type.field('value')!.scalar!);
      case 'duration':
        return { type: 'string', pattern: '^-?\\d+(\\.\\d{1,9})?s$' };
      case 'timestamp':
        return { type: 'string', format: 'date-time' };
      case 'field_mask':
        return { type: 'string' };
      case 'struct':
        return { type: 'object' };
      case 'list_value':
        return { type: 'array' };
      case 'value':
        return {};
    }
  }

  #message(type: MessageType): JsonSchema {
    const properties: JsonSchema = {};
    const otherSpellings: JsonSchema = {};
    // The schema of what is packed sees the `@type` too.
    if (this.#packableNames.has(type.name)) properties['@type'] = { type: 'string' };
    const all: JsonSchema[] = [];
    for (const field of type.fields) {
      const schema = this.#field(field);
      properties[field.name] = schema;
      // Not a property, so that completion offers one spelling.
      if (field.jsonName !== field.name)
        otherSpellings[`^${field.jsonName}$`] = {
          $ref: `#/definitions/${type.name}/properties/${field.name}`,
        };
      if (isRequired(field)) all.push(present(field));
    }
    for (const oneof of type.oneofs) all.push(...oneofSchemas(oneof));
    return {
      type: 'object',
      properties,
      ...(Object.keys(otherSpellings).length > 0 && { patternProperties: otherSpellings }),
      additionalProperties: false,
      ...(all.length > 0 && { allOf: all }),
    };
  }

  // One branch per type: an editor then completes the fields of the type that `@type` names.
  #any(): JsonSchema {
    const types = this.#packable;
    const wellKnown = wellKnownInAny.map((name) => message(`google.protobuf.${name}`)!);
    const branch = (type: MessageType, then: JsonSchema) => ({
      if: { properties: { '@type': { const: typeUrlPrefix + type.name } } },
      then,
    });
    return {
      type: 'object',
      required: ['@type'],
      properties: { '@type': { enum: [...types, ...wellKnown].map((it) => typeUrlPrefix + it.name) } },
      allOf: [
        ...types.map((it) => branch(it, this.reference(it))),
        ...wellKnown.map((it) => branch(it, { properties: { value: this.reference(it) } })),
      ],
    };
  }

  #field(field: Field): JsonSchema {
    const schema = this.#fieldWithRules(field);
    const isOld = field.isDeprecated || field.deprecatedAt !== undefined;
    if (!isOld) return schema;
    const deprecationMessage = `deprecated${field.deprecatedAt ? ` since ${field.deprecatedAt}` : ''}`;
    return { ...(schema.$ref ? { allOf: [schema] } : schema), deprecationMessage };
  }

  #fieldWithRules(field: Field): JsonSchema {
    const rules = field.rules ?? {};
    if (field.isRepeated) {
      const { min_items, max_items, unique, items } = (rules.repeated ?? {}) as Rules;
      return {
        type: 'array',
        items: this.#element(field, (items ?? {}) as Rules),
        ...(min_items !== undefined && { minItems: min_items }),
        ...(max_items !== undefined && { maxItems: max_items }),
        ...(unique === true && { uniqueItems: true }),
      };
    }
    if (field.kind === 'map') {
      const { min_pairs, max_pairs, keys, values } = (rules.map ?? {}) as Rules;
      const names = keys && field.mapKey === 'string' ? stringRules((keys as Rules).string as Rules) : {};
      return {
        type: 'object',
        additionalProperties: this.#element(field.mapValue, (values ?? {}) as Rules),
        ...(Object.keys(names).length > 0 && { propertyNames: names }),
        ...(min_pairs !== undefined && { minProperties: min_pairs }),
        ...(max_pairs !== undefined && { maxProperties: max_pairs }),
      };
    }
    return this.#element(field, rules);
  }

  #element(field: Field, rules: Rules): JsonSchema {
    if (field.kind === 'enum') return enumSchema(field.enum, (rules.enum ?? {}) as Rules);
    if (field.kind === 'scalar') return scalarWithRules(field.scalar!, rules);
    const type = field.message;
    if (type.wellKnown === 'wrapper') return scalarWithRules(type.field('value')!.scalar!, rules);
    const schema = this.reference(type);
    const urls = type.wellKnown === 'any' && ((rules.any as Rules | undefined)?.in as string[] | undefined);
    return urls ? { allOf: [schema, { properties: { '@type': { enum: urls } } }] } : schema;
  }
}

/** The field is there, in one of its spellings. */
function present(field: Field): JsonSchema {
  if (field.jsonName === field.name) return { required: [field.name] };
  return { anyOf: [{ required: [field.name] }, { required: [field.jsonName] }] };
}

function isRequired(field: Field): boolean {
  const rules = field.rules;
  if (!rules || field.oneof) return false;
  const isMessageRequired = [rules.message, rules.duration, rules.timestamp, rules.any].some(
    (it) => (it as Rules | undefined)?.required === true,
  );
  // Absent is empty.
  const least =
    ((rules.string ?? rules.bytes) as Rules | undefined)?.min_len ??
    (rules.string as Rules | undefined)?.min_bytes;
  const fewest = (rules.repeated as Rules | undefined)?.min_items;
  return isMessageRequired || (!field.hasPresence && Number(least ?? 0) > 0) || Number(fewest ?? 0) > 0;
}

function oneofSchemas(oneof: Oneof): JsonSchema[] {
  const members = oneof.fields.map(present);
  if (members.length === 1) return oneof.isRequired ? members : [];
  return [{ oneOf: oneof.isRequired ? members : [...members, { not: { anyOf: members } }] }];
}

function enumSchema(type: EnumType, rules: Rules): JsonSchema {
  const isExcluded = (number: number) => {
    const {
      const: only,
      in: some,
      not_in: none,
    } = rules as { const?: number; in?: number[]; not_in?: number[] };
    return (
      (only !== undefined && number !== only) ||
      (some && !some.includes(number)) ||
      none?.includes(number) === true
    );
  };
  const values = type.values.filter((it) => !isExcluded(it.number) && !it.isDisallowedByDefault);
  return { anyOf: [{ enum: values.map((it) => it.name) }, { type: 'integer' }] };
}

function scalarSchema(scalar: Scalar): JsonSchema {
  switch (scalar) {
    case 'string':
    case 'bytes':
      return { type: 'string' };
    case 'bool':
      return { type: ['boolean', 'string'], pattern: '^(true|false)$' };
    case 'double':
    case 'float':
      return { type: ['number', 'string'], pattern: '^(-?[0-9.]+([eE][+-]?[0-9]+)?|NaN|-?Infinity)$' };
    default:
      return { type: ['integer', 'string'], pattern: '^-?[0-9]+$', ...limits(scalar) };
  }
}

function limits(scalar: Scalar): JsonSchema {
  if (scalar.includes('64')) return scalar.startsWith('u') || scalar === 'fixed64' ? { minimum: 0 } : {};
  if (scalar === 'uint32' || scalar === 'fixed32') return { minimum: 0, maximum: 4294967295 };
  return { minimum: -2147483648, maximum: 2147483647 };
}

function scalarWithRules(scalar: Scalar, all: Rules): JsonSchema {
  const schema = scalarSchema(scalar);
  const rules = all[scalar] as Rules | undefined;
  if (!rules) return schema;
  if (scalar === 'string') return { ...schema, ...stringRules(rules) };
  if (scalar === 'bytes' || scalar === 'bool')
    return rules.const === undefined || scalar === 'bytes' ? schema : { const: rules.const };
  return {
    ...schema,
    ...(rules.gte !== undefined && { minimum: rules.gte }),
    ...(rules.gt !== undefined && { exclusiveMinimum: rules.gt }),
    ...(rules.lte !== undefined && { maximum: rules.lte }),
    ...(rules.lt !== undefined && { exclusiveMaximum: rules.lt }),
    ...(rules.const !== undefined && { const: rules.const }),
    ...(rules.in !== undefined && { enum: rules.in }),
  };
}

function stringRules(rules: Rules | undefined): JsonSchema {
  if (!rules) return {};
  const { min_len, max_len, min_bytes, pattern, prefix, const: only, in: some } = rules;
  const starts = prefix === undefined ? undefined : `^${escaped(String(prefix))}`;
  const expression = typeof pattern === 'string' && isPortable(pattern) ? pattern : starts;
  const least = min_len ?? min_bytes;
  return {
    ...(least !== undefined && { minLength: Number(min_len ?? 1) }),
    ...(max_len !== undefined && { maxLength: max_len }),
    ...(expression !== undefined && { pattern: expression }),
    ...(only !== undefined && { const: only }),
    ...(some !== undefined && { enum: some }),
  };
}

const escaped = (text: string) => text.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&');

/** Whether a pattern of RE2 means something to the regular expressions of JavaScript. */
function isPortable(pattern: string): boolean {
  try {
    new RegExp(pattern, 'u');
    return true;
  } catch {
    return false;
  }
}
