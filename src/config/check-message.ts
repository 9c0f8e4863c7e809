// Walks a message through everything packed in it: the constraints of every field, deprecated fields and values, and the rules that
// were registered for a type. Used for what was read from text and for resources that arrive in binary over xDS.

import type { Field, Message, MessageType } from '#schema/descriptor.ts';
import { messageOfTypeUrl } from '#schema/registry.ts';
import type { Duration } from '#schema/values.ts';
import { ConfigError, type ProblemDetails, type Severity } from './config-error.ts';
import { constraintsOf, type FieldConstraints } from './constraints.ts';
import { ParseContext } from './parse-context.ts';
import { readMessage } from './read-message.ts';
import { treeOf } from './tree-of.ts';

/** Called for each message of the type it is registered under, wherever it stands. */
export type Visitor = (message: Message, at: ParseContext, around: Surroundings) => void;

/** What a visitor may ask about where it is. */
export interface Surroundings {
  /** The field the message stands in; undefined for the outermost one and for what is packed. */
  readonly field: Field | undefined;
  /** The nearest message of this type around it. */
  inside(typeName: string): Message | undefined;
}

export interface CheckOptions {
  /** Deprecated fields are not mentioned (`--skip-deprecated-logs`). */
  readonly skipDeprecated?: boolean;
  /** Visitors by full message name. */
  readonly visitors?: ReadonlyMap<string, readonly Visitor[]>;
  readonly unknownFields?: 'error' | 'warning' | 'ignore';
}

export function checkMessage(
  type: MessageType,
  message: Message,
  problems: ConfigError[],
  path = '',
  options: CheckOptions = {},
): void {
  new MessageChecker(problems, path, options).root(type, message);
}

/** One level: a message and the field in it that the walk is in. */
interface Level {
  readonly type: MessageType;
  readonly message: Message;
  /** Packed messages and the root start a chain of their own in Envoy's words. */
  readonly isRoot: boolean;
  field: Field | undefined;
  /** Index of a list, key of a map. */
  element: number | string | undefined;
}

const deprecationAdvice =
  'This configuration will be removed from Envoy soon. Please see https://www.envoyproxy.io/docs/envoy/latest/version_history/version_history for details. If continued use of this field is absolutely necessary, see https://www.envoyproxy.io/docs/envoy/latest/configuration/operations/runtime#using-runtime-overrides-for-deprecated-features for how to apply a temporary and highly discouraged override.';
const enumAdvice = deprecationAdvice.replace('This configuration', 'This enum value');

class MessageChecker implements Surroundings {
  readonly #problems: ConfigError[];
  readonly #prefix: string;
  readonly #options: CheckOptions;
  readonly #levels: Level[] = [];

  constructor(problems: ConfigError[], prefix: string, options: CheckOptions) {
    this.#problems = problems;
    this.#prefix = prefix;
    this.#options = options;
  }

  root(type: MessageType, message: Message): void {
    if (type.wellKnown === 'any') this.#any(message);
    else this.#message(type, message, true);
  }

  get field(): Field | undefined {
    return this.#levels.at(-2)?.field;
  }

  inside(typeName: string): Message | undefined {
    for (let i = this.#levels.length - 2; i >= 0; i--) {
      if (this.#levels[i]!.type.name === typeName) return this.#levels[i]!.message;
    }
    return undefined;
  }

  get #path(): string {
    let path = this.#prefix;
    for (const { field, element } of this.#levels) {
      if (field === undefined) continue;
      path += path === '' ? field.name : `.${field.name}`;
      if (element !== undefined)
        path += typeof element === 'number' ? `[${element}]` : `[${JSON.stringify(element)}]`;
    }
    return path;
  }

  #report(severity: Severity, problem: string, details: ProblemDetails): void {
    this.#problems.push(new ConfigError(this.#path, problem, details, severity));
  }

  #message(type: MessageType, message: Message, isRoot: boolean): void {
    const level: Level = { type, message, isRoot, field: undefined, element: undefined };
    this.#levels.push(level);
    const constraints = unconstrained.has(type.name) ? [] : constraintsOf(type);
    const { fields } = type;
    for (let i = 0; i < fields.length; i++) {
      const rules = constraints[i];
      if (rules === undefined) continue;
      level.field = fields[i]!;
      this.#constraints(fields[i]!, rules, message);
    }
    level.field = undefined;
    for (const oneof of type.oneofs)
      if (oneof.isRequired) this.#requireOne(oneof.name, oneof.fields, message);
    const visitors = this.#options.visitors?.get(type.name);
    if (visitors !== undefined) {
      const at = new ParseContext(this.#path, this.#problems);
      for (const visit of visitors) visit(message, at, this);
    }
    if (type.isWorkInProgress && this.#options.skipDeprecated !== true)
      this.#inProgress(type.name, `message '${type.name}' is contained in proto file '${type.file.name}'`);
    for (const field of deprecatedDefaults(type)) {
      if (Object.hasOwn(message, field.name)) continue;
      level.field = field;
      this.#deprecatedDefault(field);
    }
    for (const name of Object.keys(message)) {
      const field = type.field(name);
      if (field === undefined) continue;
      level.field = field;
      if (field.isDeprecated) this.#deprecated(field);
      if (field.isWorkInProgress && this.#options.skipDeprecated !== true)
        this.#inProgress(`${type.name}.${name}`, `field '${type.name}.${name}' is`);
      if (field.kind === 'message') this.#messages(field, message[name]);
      else if (field.kind === 'map' && field.mapValue.kind === 'message')
        this.#map(field, message[name] as Message);
      else if (field.kind === 'enum') this.#enum(field, message[name]);
    }
    this.#levels.pop();
  }

  #messages(field: Field, value: unknown): void {
    const type = field.message;
    if (type.wellKnown === 'duration' && !field.isRepeated) this.#duration(value as Duration);
    if (type.wellKnown !== undefined && type.wellKnown !== 'any') return;
    if (!field.isRepeated) {
      if (value !== undefined) this.#nested(type, value as Message);
      return;
    }
    const level = this.#levels.at(-1)!;
    const list = value as readonly Message[];
    for (let i = 0; i < list.length; i++) {
      level.element = i;
      this.#nested(type, list[i]!);
    }
    level.element = undefined;
  }

  /** Where Envoy uses a duration, it wants milliseconds from zero on. */
  #duration(duration: Duration): void {
    if (duration.seconds >= 0 && duration.nanos >= 0) return;
    const { seconds, nanos } = duration;
    this.#report('error', 'a duration must not be negative', {
      rule: 'out-of-range',
      got: `${seconds + nanos / 1e9}s`,
      expected: 'a duration from 0s on',
      envoy: `Invalid duration: Expected positive duration: seconds: ${seconds}`,
    });
  }

  #map(field: Field, map: Message): void {
    const type = field.mapValue.message;
    if (type.wellKnown !== undefined && type.wellKnown !== 'any') return;
    const level = this.#levels.at(-1)!;
    for (const key of Object.keys(map)) {
      level.element = key;
      this.#nested(type, map[key] as Message);
    }
    level.element = undefined;
  }

  #nested(type: MessageType, message: Message): void {
    if (type.wellKnown === 'any') this.#any(message);
    else this.#message(type, message, false);
  }

  #any(message: Message): void {
    const type = messageOfTypeUrl(message['@type'] as string);
    if (type === undefined || type.wellKnown !== undefined) return;
    if (type.file.name.startsWith('contrib/')) this.#contrib(message['@type'] as string);
    if (type.name === 'xds.type.v3.TypedStruct' || type.name === 'udpa.type.v1.TypedStruct')
      this.#typedStruct(message);
    else this.#message(type, message, true);
  }

  #contrib(url: string): void {
    this.#report('error', `${url} is a contrib extension, which is not part of Envoy's release`, {
      rule: 'unknown-type',
      got: url,
      envoy: `Unable to parse JSON as proto (INVALID_ARGUMENT: could not find @type '${url}')`,
    });
  }

  /** A message written as plain JSON: read it as the type it names, then check that. */
  #typedStruct(message: Message): void {
    const type = messageOfTypeUrl((message.type_url as string | undefined) ?? '');
    if (type === undefined || type.wellKnown !== undefined) return;
    const path = `${this.#path}.value`;
    const unknownFields = this.#options.unknownFields ?? 'error';
    const read = readMessage(type, treeOf(message.value ?? {}), this.#problems, path, { unknownFields });
    new MessageChecker(this.#problems, path, this.#options).root(type, read);
  }

  #constraints(field: Field, rules: FieldConstraints, message: Message): void {
    const value = message[field.name];
    if (value === undefined) {
      if (rules.isRequired && field.oneof === undefined)
        this.#violation('value is required', undefined, 'missing-required');
      return;
    }
    const level = this.#levels.at(-1)!;
    if (rules.whole !== undefined) {
      const problem = rules.whole(value);
      if (problem !== undefined) {
        const isMissing = !Object.hasOwn(message, field.name);
        this.#violation(
          problem,
          isMissing ? undefined : value,
          isMissing ? 'missing-required' : 'constraint',
        );
      }
    }
    if (field.kind === 'map') {
      const map = value as Record<string, unknown>;
      if (rules.key === undefined && rules.each === undefined) return;
      for (const key of Object.keys(map)) {
        level.element = key;
        const problem = rules.key?.(key) ?? (rules.each === undefined ? undefined : rules.each(map[key]));
        if (problem !== undefined)
          this.#violation(problem, rules.key?.(key) === undefined ? map[key] : key, 'constraint');
      }
      level.element = undefined;
    } else if (rules.each !== undefined) {
      const list = value as readonly unknown[];
      for (let i = 0; i < list.length; i++) {
        const problem = rules.each(list[i]);
        if (problem === undefined) continue;
        level.element = i;
        this.#violation(problem, list[i], 'constraint');
      }
      level.element = undefined;
    }
  }

  #violation(words: string, got: unknown, rule: string): void {
    const name = this.#levels.at(-1)!.field!.name;
    const isMissing = rule === 'missing-required';
    const shown =
      typeof got === 'string' ? JSON.stringify(got) : typeof got === 'object' ? undefined : String(got);
    this.#report(
      'error',
      isMissing ? `"${name}" is missing` : `${words}${shown === undefined ? '' : `, got ${shown}`}`,
      {
        rule,
        envoy: `Proto constraint validation failed (${this.#chain(words)})`,
        ...(got !== undefined && { got }),
        ...(isMissing && { expected: words, suggestion: `add "${name}"` }),
      },
    );
  }

  #requireOne(oneof: string, fields: readonly Field[], message: Message): void {
    for (const field of fields) if (Object.hasOwn(message, field.name)) return;
    const names = fields.map((it) => it.name);
    this.#report('error', `needs one of: ${names.join(', ')}`, {
      rule: 'missing-required',
      expected: `one of ${names.join(', ')}`,
      suggestion: `add ${names.length === 1 ? `"${names[0]}"` : `one of ${names.map((it) => `"${it}"`).join(', ')}`}`,
      envoy: `Proto constraint validation failed (${this.#chain(undefined, oneof)})`,
    });
  }

  /** Envoy's way to say where: `ClusterValidationError.Name: value ...`, one link per message. */
  #chain(problem: string | undefined, oneof?: string): string {
    let start = this.#levels.length - 1;
    while (start > 0 && !this.#levels[start]!.isRoot) start--;
    const links: string[] = [];
    for (let i = start; i < this.#levels.length; i++) {
      const { type, field, element } = this.#levels[i]!;
      if (i === this.#levels.length - 1 && oneof !== undefined) {
        links.push(`field: "${oneof}", reason: is required`);
        continue;
      }
      const name = type.name.slice(type.name.lastIndexOf('.') + 1);
      const where = `${name}ValidationError.${pascalCase(field!.name)}${element === undefined ? '' : `[${element}]`}`;
      links.push(
        `${where}: ${i === this.#levels.length - 1 ? problem : 'embedded message failed validation'}`,
      );
    }
    return links.join(' | caused by ');
  }

  #deprecated(field: Field): void {
    if (this.#options.skipDeprecated === true && !field.isDisallowedByDefault) return;
    const file = field.parent.file.name;
    const words = `Using deprecated option '${field.parent.name}.${field.name}' from file ${file.slice(file.lastIndexOf('/') + 1)}. ${deprecationAdvice}`;
    if (field.isDisallowedByDefault) {
      this.#report('error', `"${field.name}" is deprecated and no longer allowed`, {
        rule: 'disallowed-field',
        point: 'key',
        got: field.name,
        envoy: `The v2 field or value is no longer allowed: ${words}`,
        suggestion: 'see the API documentation of the field for what took its place',
      });
      return;
    }
    this.#report('warning', `"${field.name}" is deprecated and will be removed`, {
      rule: 'deprecated-field',
      point: 'key',
      got: field.name,
      envoy: `Deprecated field: type ${field.parent.name} ${words}`,
    });
  }

  #enum(field: Field, value: unknown): void {
    if (this.#options.skipDeprecated === true) return;
    const values = field.isRepeated ? (value as readonly unknown[]) : [value];
    for (const name of values) {
      const known = typeof name === 'string' ? field.enum.value(name) : undefined;
      if (known?.isDeprecated !== true) continue;
      const file = field.parent.file.name;
      const words = `Using deprecated value ${known.name} for enum '${field.parent.name}.${field.name}' from file ${file.slice(file.lastIndexOf('/') + 1)}. ${enumAdvice}`;
      this.#report(
        known.isDisallowedByDefault ? 'error' : 'warning',
        `the value ${known.name} is deprecated`,
        {
          rule: known.isDisallowedByDefault ? 'disallowed-field' : 'deprecated-field',
          got: known.name,
          envoy: `Deprecated field: type ${field.parent.name} ${words}`,
        },
      );
    }
  }

  /** A field that is not set, where what that means is deprecated. */
  #deprecatedDefault(field: Field): void {
    const value = field.enum.valueByNumber(0)!;
    if (this.#options.skipDeprecated === true && !value.isDisallowedByDefault) return;
    const file = field.parent.file.name;
    const words = `Using the default now-deprecated value ${value.name} for enum '${field.parent.name}.${field.name}' from file ${file.slice(file.lastIndexOf('/') + 1)}. This enum value will be removed from Envoy soon so a non-default value must now be explicitly set.`;
    const names = field.enum.values.filter((it) => !it.isDeprecated).map((it) => it.name);
    this.#report(
      value.isDisallowedByDefault ? 'error' : 'warning',
      `"${field.name}" has to be set: its default ${value.name} is deprecated`,
      {
        rule: value.isDisallowedByDefault ? 'disallowed-field' : 'deprecated-field',
        envoy: `type ${field.parent.name} ${words}`,
        expected: `one of ${names.join(', ')}`,
        suggestion: `add "${field.name}: ${names[0]}"`,
      },
    );
  }

  #inProgress(name: string, what: string): void {
    this.#report('note', `${name} is work in progress in Envoy: it may change without notice`, {
      rule: 'work-in-progress',
      envoy: `${what} marked as work-in-progress. API features marked as work-in-progress are not considered stable, are not covered by the threat model, are not supported by the security team, and are subject to breaking changes. Do not use this feature without understanding each of the previous points.`,
    });
  }
}

const defaults = new WeakMap<MessageType, readonly Field[]>();

/** Enum fields whose value is deprecated when they are not set. */
function deprecatedDefaults(type: MessageType): readonly Field[] {
  let fields = defaults.get(type);
  if (fields === undefined) {
    const isDeprecated = (field: Field) =>
      field.kind === 'enum' &&
      !field.isRepeated &&
      !field.hasPresence &&
      field.enum.valueByNumber(0)?.isDeprecated === true;
    fields = type.fields.filter(isDeprecated);
    defaults.set(type, fields);
  }
  return fields;
}

function pascalCase(name: string): string {
  return name.replace(/(?:^|_)([a-z0-9])/g, (_, c: string) => c.toUpperCase());
}

/** Envoy reads these without looking at the constraints of their fields. */
const unconstrained: ReadonlySet<string> = new Set([
  'envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig',
  'envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig.TrustDomain',
]);
