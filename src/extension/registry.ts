// Every extension a process knows, by kind, name and message type. One object per thread, built from explicit lists; importing an
// extension never registers it. The main thread parses with it, the workers prepare with it.
import type { ParseContext } from '#config/parse-context.ts';

/** What all kinds share. A kind's own file adds what is prepared from the config: `http-filter.ts`, `network-filter.ts`, ... */
export interface Extension<Kind extends string = string> {
  readonly kind: Kind;
  /** Envoy's canonical name: `envoy.filters.http.router`. */
  readonly name: string;
  /** Full name of the message in `typed_config`, or several. Empty: the extension has no configuration message. */
  readonly type: string | readonly string[];
  /**
   * Main thread, once per configuration. Reports every problem at its field and returns plain data: structured-clonable, printable.
   * The result of a parse that reported an error is thrown away. Nested extensions go through `registry.parse(kind, ...)`.
   */
  parse(message: never, at: ParseContext, registry: Registry): unknown;
}

/** A nested extension inside a plain config: what `registry.parse` returns and a worker's `prepare` looks up again. */
export interface Configured<Config = unknown> {
  /** As the user named it: per-route configuration finds it by this. */
  readonly name: string;
  /** Canonical name of the extension. */
  readonly extension: string;
  readonly config: Config;
}

/** Any message with a name and a typed config: TypedExtensionConfig, HttpFilter, Filter, TransportSocket, ... */
export interface NamedTypedConfig {
  readonly name: string;
  readonly typed_config?: object | undefined;
}

/** Reads a message that a configuration keeps in a file of its own. Throws when that is not possible. */
export type ReadMessageFile = (file: string, type: string) => object;

export class Registry {
  /** Only where configurations are parsed. */
  readonly readMessageFile: ReadMessageFile;
  readonly #byName = new Map<string, Extension>();
  readonly #byType = new Map<string, Extension>();
  readonly all: readonly Extension[];

  constructor(extensions: readonly Extension[], readMessageFile: ReadMessageFile = noFiles) {
    this.all = extensions;
    this.readMessageFile = readMessageFile;
    for (const it of extensions) {
      this.#byName.set(`${it.kind} ${it.name}`, it);
      for (const type of typeof it.type === 'string' ? [it.type] : it.type) {
        if (type !== '') this.#byType.set(`${it.kind} ${type}`, it);
      }
    }
  }

  byName<E extends Extension>(kind: E['kind'], name: string): E | undefined {
    return this.#byName.get(`${kind} ${name}`) as E | undefined;
  }

  byType<E extends Extension>(kind: E['kind'], type: string): E | undefined {
    return this.#byType.get(`${kind} ${type}`) as E | undefined;
  }

  /** Finds the extension by the type of its config, else by name, and parses in its place. Undefined: a problem was reported. */
  parse(kind: string, message: NamedTypedConfig, at: ParseContext): Configured | undefined {
    const type = typeOf(message.typed_config);
    const extension = type === '' ? this.byName(kind, message.name) : this.byType(kind, type);
    if (extension === undefined) {
      at.unsupported(
        `didn't find a registered implementation for '${message.name}' with type URL: '${type}'`,
        {
          envoy: `Didn't find a registered implementation for '${message.name}' with type URL: '${type}'`,
          expected: `a ${kind.replaceAll('_', ' ')} that chancery supports`,
        },
      );
      return undefined;
    }
    const config = extension.parse(
      (message.typed_config ?? {}) as never,
      message.typed_config === undefined ? at : at.field('typed_config'),
      this,
    );
    return { name: message.name, extension: extension.name, config };
  }
}

function noFiles(file: string): never {
  throw new Error(`${file} cannot be read here`);
}

/** `a.b.C` of an Any with `@type: type.googleapis.com/a.b.C`; empty when there is none. */
export function typeOf(any: object | undefined): string {
  const url = any === undefined ? undefined : (any as { '@type'?: string })['@type'];
  return url === undefined ? '' : url.slice(url.lastIndexOf('/') + 1);
}
