// Messages and enums of the Envoy API by name. api.binpb is read once; a file in it is looked into when a name of its package is asked
// for, and a message is decoded when it is used. All of it costs 100 ms, a small configuration two.
import { readFileSync } from 'node:fs';
import { decodeMessage } from './binary.ts';
import {
  EnumType,
  isMapEntry,
  type Linker,
  MessageType,
  Option,
  Raw,
  type SchemaFile,
  textOf,
} from './descriptor.ts';
import type { MessageTypes } from './messages/type-map.ts';
import { typeUrlPrefix } from './values.ts';
import { WireReader } from './wire.ts';

/** The message of that full name, as in `envoy.config.cluster.v3.Cluster`. */
export function message<N extends keyof MessageTypes>(name: N): MessageType<MessageTypes[N]>;
export function message(name: string): MessageType | undefined;
export function message(name: string): MessageType | undefined {
  let type = messages.get(name);
  if (!type) {
    const found = find(name);
    if (found?.isEnum !== false) return undefined;
    type = new MessageType(linker, name, found.file, found.bytes);
    messages.set(name, type);
  }
  return type;
}

/** The message of a type URL, whatever stands before its last slash. */
export function messageOfTypeUrl(url: string): MessageType | undefined {
  const slash = url.lastIndexOf('/');
  return slash < 0 ? undefined : message(url.slice(slash + 1));
}

export function typeUrl(type: MessageType<object>): string {
  return typeUrlPrefix + type.name;
}

export function enumType(name: string): EnumType | undefined {
  let type = enums.get(name);
  if (!type) {
    const found = find(name);
    if (found?.isEnum !== true) return undefined;
    type = new EnumType(name, found.file, found.bytes);
    enums.set(name, type);
  }
  return type;
}

/** The full names of all messages, map entries excepted, in the order of the files. Costs some milliseconds: for suggestions and tools. */
export function messageNames(): string[] {
  return names(false);
}

export function enumNames(): string[] {
  return names(true);
}

interface Declaration {
  readonly file: SchemaFile;
  readonly isEnum: boolean;
  /** A DescriptorProto or EnumDescriptorProto. */
  readonly bytes: Uint8Array;
}

const messages = new Map<string, MessageType>();
const enums = new Map<string, EnumType>();
const linker: Linker = { message, enumType, decode: (type, bytes) => decodeMessage(type, bytes) };

class File implements SchemaFile {
  readonly package: string;
  readonly #all: Buffer;
  readonly #start: number;
  readonly #end: number;
  #raw: Raw | undefined;
  #declarations: Map<string, Declaration> | undefined;

  /** A FileDescriptorProto between two places of `all`. */
  constructor(packageName: string, all: Buffer, start: number, end: number) {
    this.package = packageName;
    this.#all = all;
    this.#start = start;
    this.#end = end;
  }

  get name(): string {
    return this.#decoded.text(1)!;
  }

  /** What is declared at the top of the file. */
  get declarations(): ReadonlyMap<string, Declaration> {
    this.#declarations ??= declarations(this, this.#decoded, 4, 5);
    return this.#declarations;
  }

  get isProto2(): boolean {
    return this.#decoded.text(12) === undefined;
  }

  get isWorkInProgress(): boolean {
    const options = this.#decoded.message(8);
    return [Option.udpaFileStatus, Option.xdsStatus].some((it) =>
      options.message(it).flag(Option.statusWorkInProgress),
    );
  }

  get #decoded(): Raw {
    this.#raw ??= new Raw(this.#all.subarray(this.#start, this.#end));
    return this.#raw;
  }
}

function declarations(file: SchemaFile, parent: Raw, messageField: number, enumField: number) {
  const found = new Map<string, Declaration>();
  for (const bytes of parent.all(messageField)) found.set(nameOf(bytes), { file, isEnum: false, bytes });
  for (const bytes of parent.all(enumField)) found.set(nameOf(bytes), { file, isEnum: true, bytes });
  return found;
}

const nested = (parent: Declaration) => declarations(parent.file, new Raw(parent.bytes), 3, 4);

/** The files of each package. */
let packages: Map<string, File[]> | undefined;

function allPackages(): Map<string, File[]> {
  if (packages) return packages;
  packages = new Map();
  const all = readFileSync(new URL('api.binpb', import.meta.url));
  const reader = new WireReader(all);
  while (reader.pos < reader.end) {
    reader.tag();
    const end = reader.length();
    const start = reader.pos;
    // Name and package are the first two fields.
    reader.skip(reader.tag());
    reader.tag();
    const nameEnd = reader.length();
    const packageName = all.toString('latin1', reader.pos, nameEnd);
    const file = new File(packageName, all, start, end);
    const files = packages.get(packageName);
    if (files) files.push(file);
    else packages.set(packageName, [file]);
    reader.pos = end;
  }
  return packages;
}

function find(name: string): Declaration | undefined {
  // The longest package first: there are envoy.type and envoy.type.v3.
  for (let dot = name.lastIndexOf('.'); dot > 0; dot = name.lastIndexOf('.', dot - 1)) {
    const path = name.slice(dot + 1).split('.');
    for (const file of allPackages().get(name.slice(0, dot)) ?? []) {
      let found = file.declarations.get(path[0]!);
      for (let i = 1; i < path.length && found; i++)
        found = found.isEnum ? undefined : nested(found).get(path[i]!);
      if (found) return found;
    }
  }
  return undefined;
}

function names(ofEnums: boolean): string[] {
  const found: string[] = [];
  for (const files of allPackages().values())
    for (const file of files) collect(file.package, file.declarations, ofEnums, found);
  return found;
}

function collect(
  scope: string,
  declared: ReadonlyMap<string, Declaration>,
  ofEnums: boolean,
  found: string[],
): void {
  for (const [name, declaration] of declared) {
    if (!declaration.isEnum && isMapEntry(declaration.bytes)) continue;
    if (declaration.isEnum === ofEnums) found.push(`${scope}.${name}`);
    if (!declaration.isEnum) collect(`${scope}.${name}`, nested(declaration), ofEnums, found);
  }
}

// The name is the first field of both kinds of descriptor.
function nameOf(descriptor: Uint8Array): string {
  const reader = new WireReader(descriptor);
  reader.tag();
  return textOf(reader.bytes());
}
