// What is known of a message, field, oneof or enum of the API. Each is decoded from its bytes in api.binpb when it is first used, and what
// it refers to is looked up when that is first used, so that asking for one message never links the whole API.
import { WireReader, WireType } from './wire.ts';

export type Scalar =
  | 'double'
  | 'float'
  | 'int64'
  | 'uint64'
  | 'int32'
  | 'fixed64'
  | 'fixed32'
  | 'bool'
  | 'string'
  | 'bytes'
  | 'uint32'
  | 'sfixed32'
  | 'sfixed64'
  | 'sint32'
  | 'sint64';

/** Messages with a form of their own in JSON and in memory. `wrapper` is `google.protobuf.UInt32Value` and its sisters. */
export type WellKnown =
  | 'any'
  | 'duration'
  | 'timestamp'
  | 'struct'
  | 'value'
  | 'list_value'
  | 'field_mask'
  | 'wrapper';

/**
 * A message in memory: own properties are the fields that were set, under their proto names; the others read as their default through
 * the prototype.
 */
export type Message = Record<string, unknown>;

/** The `validate.rules` of a field as a plain object: `{ uint32: { lte: 65535 } }`. Rules that are absent read as undefined. */
export type Rules = Record<string, unknown>;

/** Where descriptors find each other, and how an option message is decoded. */
export interface Linker {
  message(name: string): MessageType | undefined;
  enumType(name: string): EnumType | undefined;
  decode(type: MessageType, bytes: Uint8Array): Message;
}

export interface SchemaFile {
  readonly name: string;
  readonly package: string;
  /** proto2: every singular field knows whether it was set. */
  readonly isProto2: boolean;
  /** Envoy warns when a configuration uses a message of such a file. */
  readonly isWorkInProgress: boolean;
}

const scalars: readonly (Scalar | undefined)[] = [
  undefined,
  'double',
  'float',
  'int64',
  'uint64',
  'int32',
  'fixed64',
  'fixed32',
  'bool',
  'string',
  undefined, // group: the API has none
  undefined, // message
  'bytes',
  'uint32',
  undefined, // enum
  'sfixed32',
  'sfixed64',
  'sint32',
  'sint64',
];
const typeMessage = 11;
const typeEnum = 14;
const labelRepeated = 3;

const wellKnown: Readonly<Record<string, WellKnown>> = {
  'google.protobuf.Any': 'any',
  'google.protobuf.Duration': 'duration',
  'google.protobuf.Timestamp': 'timestamp',
  'google.protobuf.Struct': 'struct',
  'google.protobuf.Value': 'value',
  'google.protobuf.ListValue': 'list_value',
  'google.protobuf.FieldMask': 'field_mask',
};
const wrapperName = /^google\.protobuf\.(?:Double|Float|U?Int(?:32|64)|Bool|String|Bytes)Value$/;

// Field numbers of the options that matter here.
export const Option = {
  deprecated: 3, // FieldOptions, MessageOptions
  enumValueDeprecated: 1,
  packed: 2,
  mapEntry: 7,
  validate: 1071, // FieldOptions: rules; MessageOptions: disabled; OneofOptions: required
  validateIgnored: 1072,
  deprecatedAtMinorVersion: 157299826,
  disallowedByDefault: 189503207,
  enumDeprecatedAtMinorVersion: 181198657,
  enumDisallowedByDefault: 70100853,
  udpaSensitive: 76569463,
  xdsSensitive: 61008053,
  xdsStatus: 226829418,
  udpaFileStatus: 222707719,
  statusWorkInProgress: 1,
} as const;

const noFields: readonly never[] = Object.freeze([]);
const noEntries: Readonly<Record<string, never>> = Object.freeze({});

/** A serialized descriptor or options message by field number: varints as numbers, everything else as bytes. */
export class Raw {
  readonly #fields = new Map<number, (number | Uint8Array)[]>();

  constructor(bytes: Uint8Array) {
    const reader = new WireReader(bytes);
    while (reader.pos < reader.end) {
      const tag = reader.tag();
      if ((tag & 7) === WireType.Varint) this.#add(tag >>> 3, reader.int32());
      else if ((tag & 7) === WireType.Bytes) this.#add(tag >>> 3, reader.bytes());
      else reader.skip(tag);
    }
  }

  #add(number: number, value: number | Uint8Array): void {
    const values = this.#fields.get(number);
    if (values) values.push(value);
    else this.#fields.set(number, [value]);
  }

  number(number: number): number | undefined {
    return this.#fields.get(number)?.at(-1) as number | undefined;
  }

  flag(number: number): boolean {
    return this.number(number) === 1;
  }

  bytes(number: number): Uint8Array | undefined {
    return this.#fields.get(number)?.at(-1) as Uint8Array | undefined;
  }

  text(number: number): string | undefined {
    const bytes = this.bytes(number);
    return bytes && textOf(bytes);
  }

  all(number: number): readonly Uint8Array[] {
    return (this.#fields.get(number) as Uint8Array[] | undefined) ?? [];
  }

  message(number: number): Raw {
    const bytes = this.bytes(number);
    return bytes ? new Raw(bytes) : nothing;
  }
}

const nothing = new Raw(new Uint8Array(0));

// Names in descriptors are ASCII.
export function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

export class Field {
  readonly parent: MessageType;
  /** The proto name, which is also the property name of a message in memory. */
  readonly name: string;
  /** camelCase. */
  readonly jsonName: string;
  readonly number: number;
  readonly kind: 'scalar' | 'enum' | 'message' | 'map';
  /** Only when `kind` is 'scalar'. */
  readonly scalar: Scalar | undefined;
  /** A list. False for maps. */
  readonly isRepeated: boolean;
  readonly isPacked: boolean;
  /** Absent and default value are different things: messages, wrappers, `optional` and oneof members. */
  readonly hasPresence: boolean;
  readonly oneof: Oneof | undefined;
  readonly isDeprecated: boolean;
  /** `envoy.annotations.deprecated_at_minor_version`, as in "3.0". */
  readonly deprecatedAt: string | undefined;
  /** Envoy refuses a configuration that uses it, unless the runtime allows it. */
  readonly isDisallowedByDefault: boolean;
  /** Printed as `[redacted]` in dumps. */
  readonly isSensitive: boolean;
  readonly isWorkInProgress: boolean;
  readonly #linker: Linker;
  readonly #typeName: string;
  readonly #rules: Uint8Array | undefined;
  #message: MessageType | undefined;
  #enum: EnumType | undefined;
  #decodedRules: Rules | undefined;

  constructor(linker: Linker, parent: MessageType, bytes: Uint8Array, oneofs: readonly Oneof[]) {
    const raw = new Raw(bytes);
    const options = raw.message(8);
    const type = raw.number(5)!;
    const isList = raw.number(4) === labelRepeated;
    const isProto3Optional = raw.flag(17);
    const oneofIndex = raw.number(9);
    this.#linker = linker;
    this.#typeName = (raw.text(6) ?? '').slice(1);
    this.parent = parent;
    this.name = raw.text(1)!;
    this.jsonName = raw.text(10)!;
    this.number = raw.number(3)!;
    this.scalar = scalars[type];
    const isMap = isList && type === typeMessage && parent.mapEntries.has(this.#typeName);
    this.kind = isMap ? 'map' : type === typeMessage ? 'message' : type === typeEnum ? 'enum' : 'scalar';
    this.isRepeated = isList && !isMap;
    if (oneofIndex !== undefined && !isProto3Optional) {
      this.oneof = oneofs[oneofIndex]!;
      this.oneof.fields.push(this);
    }
    this.hasPresence =
      !isList &&
      (this.kind === 'message' || this.oneof !== undefined || isProto3Optional || parent.file.isProto2);
    const isPackable =
      this.isRepeated && this.kind !== 'message' && this.scalar !== 'string' && this.scalar !== 'bytes';
    this.isPacked = isPackable && (options.number(Option.packed) ?? (parent.file.isProto2 ? 0 : 1)) === 1;
    this.isDeprecated = options.flag(Option.deprecated);
    this.deprecatedAt = options.text(Option.deprecatedAtMinorVersion);
    this.isDisallowedByDefault = options.flag(Option.disallowedByDefault);
    this.isSensitive = options.flag(Option.udpaSensitive) || options.flag(Option.xdsSensitive);
    this.isWorkInProgress = options.message(Option.xdsStatus).flag(Option.statusWorkInProgress);
    this.#rules = options.bytes(Option.validate);
  }

  /** The type of a message-typed field (of its elements, when repeated). Only when `kind` is 'message'. */
  get message(): MessageType {
    this.#message ??= this.#linker.message(this.#typeName);
    if (!this.#message) throw new Error(`${this.parent.name}.${this.name} is not a message`);
    return this.#message;
  }

  /** Only when `kind` is 'enum'. */
  get enum(): EnumType {
    this.#enum ??= this.#linker.enumType(this.#typeName);
    if (!this.#enum) throw new Error(`${this.parent.name}.${this.name} is not an enum`);
    return this.#enum;
  }

  /** Of a map: the type of its keys (`string`, an integer or `bool`; in memory all keys are strings). */
  get mapKey(): Scalar {
    return this.mapEntry.fieldByNumber(1)!.scalar!;
  }

  /** Of a map: its values, as a field of kind scalar, enum or message. */
  get mapValue(): Field {
    return this.mapEntry.fieldByNumber(2)!;
  }

  /** Of a map: the message with `key` and `value` that stands for an entry in binary and text. */
  get mapEntry(): MessageType {
    this.#message ??= this.#linker.message(this.#typeName)!;
    return this.#message;
  }

  /** `envoy.config.cluster.v3.Cluster`: the name of the message or enum; empty for scalars and maps. */
  get typeName(): string {
    return this.kind === 'map' ? '' : this.#typeName;
  }

  get rules(): Rules | undefined {
    if (this.#rules && !this.#decodedRules) {
      const type = this.#linker.message('validate.FieldRules')!;
      this.#decodedRules = plainRules(this.#linker.decode(type, this.#rules)) as Rules;
    }
    return this.#decodedRules;
  }

  /** What a message reads when the field was not set. */
  get defaultValue(): unknown {
    if (this.isRepeated) return noFields;
    if (this.kind === 'map') return noEntries;
    if (this.hasPresence) return undefined;
    if (this.kind === 'enum') return this.enum.nameOf(0);
    return scalarDefault(this.scalar!);
  }
}

// Only what is set, and lengths and counts as numbers: they are uint64 in validate.proto.
function plainRules(rules: unknown): unknown {
  if (typeof rules === 'bigint') return Number(rules);
  if (Array.isArray(rules)) return rules.map(plainRules);
  if (typeof rules !== 'object' || rules === null || rules instanceof Uint8Array) return rules;
  return Object.fromEntries(Object.entries(rules).map(([name, rule]) => [name, plainRules(rule)]));
}

export function scalarDefault(scalar: Scalar): string | boolean | number | bigint | Uint8Array {
  switch (scalar) {
    case 'string':
      return '';
    case 'bool':
      return false;
    case 'bytes':
      return new Uint8Array(0);
    case 'int64':
    case 'uint64':
    case 'sint64':
    case 'fixed64':
    case 'sfixed64':
      return 0n;
    default:
      return 0;
  }
}

export class Oneof {
  readonly name: string;
  /** One of the fields has to be set (`validate.required`). */
  readonly isRequired: boolean;
  readonly fields: Field[] = [];

  constructor(bytes: Uint8Array) {
    const raw = new Raw(bytes);
    this.name = raw.text(1)!;
    this.isRequired = raw.message(2).flag(Option.validate);
  }
}

export class MessageType<T extends object = Message> {
  /** `envoy.config.cluster.v3.Cluster` */
  readonly name: string;
  readonly file: SchemaFile;
  /** In the order of declaration. */
  readonly fields: readonly Field[];
  /** Without those that `optional` makes. */
  readonly oneofs: readonly Oneof[];
  readonly isDeprecated: boolean;
  readonly isWorkInProgress: boolean;
  /** `validate.disabled`, `validate.ignored`: rules inside are not checked. */
  readonly isValidationDisabled: boolean;
  /** Names that fields once had. */
  readonly reservedNames: readonly string[];
  readonly wellKnown: WellKnown | undefined;
  /** The full names of the map entries declared inside. */
  readonly mapEntries: ReadonlySet<string>;
  readonly #byName = new Map<string, Field>();
  readonly #byJsonName = new Map<string, Field>();
  readonly #byNumber = new Map<number, Field>();
  #fieldsByNumber: readonly Field[] | undefined;
  #Message: (new () => T) | undefined;

  constructor(linker: Linker, name: string, file: SchemaFile, bytes: Uint8Array) {
    const raw = new Raw(bytes);
    const options = raw.message(7);
    const oneofs = raw.all(8).map((it) => new Oneof(it));
    this.name = name;
    this.file = file;
    this.isDeprecated = options.flag(Option.deprecated);
    this.isWorkInProgress =
      file.isWorkInProgress || options.message(Option.xdsStatus).flag(Option.statusWorkInProgress);
    this.isValidationDisabled = options.flag(Option.validate) || options.flag(Option.validateIgnored);
    this.reservedNames = raw.all(10).map(textOf);
    this.mapEntries = new Set(
      raw
        .all(3)
        .filter(isMapEntry)
        .map((it) => `${name}.${new Raw(it).text(1)}`),
    );
    this.fields = raw.all(2).map((it) => new Field(linker, this as MessageType, it, oneofs));
    this.oneofs = oneofs.filter((it) => it.fields.length > 0);
    for (const field of this.fields) {
      this.#byName.set(field.name, field);
      this.#byJsonName.set(field.jsonName, field);
      this.#byNumber.set(field.number, field);
    }
    this.wellKnown = wellKnown[name] ?? (wrapperName.test(name) ? 'wrapper' : undefined);
  }

  /** By proto name. */
  field(name: string): Field | undefined {
    return this.#byName.get(name);
  }

  /** By camelCase name. */
  fieldByJsonName(jsonName: string): Field | undefined {
    return this.#byJsonName.get(jsonName);
  }

  fieldByNumber(number: number): Field | undefined {
    return this.#byNumber.get(number);
  }

  /** The order of binary and JSON output. */
  get fieldsByNumber(): readonly Field[] {
    this.#fieldsByNumber ??= this.fields.toSorted((a, b) => a.number - b.number);
    return this.#fieldsByNumber;
  }

  /** A message with nothing set. Unset fields read as their default. */
  create(): T {
    this.#Message ??= this.#constructorOf();
    return new this.#Message();
  }

  // A constructor of its own gives all messages of a type one shape, and debuggers its name.
  #constructorOf(): new () => T {
    const Message = class {} as unknown as new () => T;
    Object.defineProperty(Message, 'name', { value: this.name.slice(this.name.lastIndexOf('.') + 1) });
    const prototype = Message.prototype as Message;
    for (const field of this.fields) prototype[field.name] = field.defaultValue;
    return Message;
  }
}

export function isMapEntry(descriptor: Uint8Array): boolean {
  return new Raw(descriptor).message(7).flag(Option.mapEntry);
}

export class EnumValue {
  readonly name: string;
  readonly number: number;
  readonly isDeprecated: boolean;
  readonly deprecatedAt: string | undefined;
  readonly isDisallowedByDefault: boolean;

  constructor(bytes: Uint8Array) {
    const raw = new Raw(bytes);
    const options = raw.message(3);
    this.name = raw.text(1)!;
    this.number = raw.number(2) ?? 0;
    this.isDeprecated = options.flag(Option.enumValueDeprecated);
    this.deprecatedAt = options.text(Option.enumDeprecatedAtMinorVersion);
    this.isDisallowedByDefault = options.flag(Option.enumDisallowedByDefault);
  }
}

export class EnumType {
  readonly name: string;
  readonly file: SchemaFile;
  /** In the order of declaration. */
  readonly values: readonly EnumValue[];
  readonly #byName = new Map<string, EnumValue>();
  readonly #byNumber = new Map<number, EnumValue>();

  constructor(name: string, file: SchemaFile, bytes: Uint8Array) {
    this.name = name;
    this.file = file;
    this.values = new Raw(bytes).all(2).map((it) => new EnumValue(it));
    for (const value of this.values) {
      this.#byName.set(value.name, value);
      if (!this.#byNumber.has(value.number)) this.#byNumber.set(value.number, value);
    }
  }

  value(name: string): EnumValue | undefined {
    return this.#byName.get(name);
  }

  valueByNumber(number: number): EnumValue | undefined {
    return this.#byNumber.get(number);
  }

  /** The value's form in memory: its name, or the number when it has none. */
  nameOf(number: number): string | number {
    return this.#byNumber.get(number)?.name ?? number;
  }

  numberOf(nameOrNumber: string | number): number | undefined {
    return typeof nameOrNumber === 'number' ? nameOrNumber : this.#byName.get(nameOrNumber)?.number;
  }
}
