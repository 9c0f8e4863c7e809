// The resources of a discovery response, each with what is known to be wrong with it. What is wrong with a resource itself, as its constraints
// have it, refuses the whole response; what is wrong inside something packed in it, or by a rule, refuses this resource only.
import type { ConfigError } from '#config/config-error.ts';
import { ParseContext } from '#config/parse-context.ts';
import type { Message } from '#schema/descriptor.ts';
import { message as messageType } from '#schema/registry.ts';
import { writeText } from '#schema/text.ts';

export interface DiscoveredResource {
  /** Of the `Resource` around it, else its own. */
  readonly name: string;
  readonly message: object;
  readonly problems: readonly ConfigError[];
  /** Where it stands in the file; what it adds is printed with the rest. */
  readonly at: ParseContext;
}

const wrapper: string = 'envoy.service.discovery.v3.Resource';

export function decodeResources(
  response: Message,
  type: string,
  problems: ConfigError[],
): { readonly resources: readonly DiscoveredResource[] } | { readonly refusal: string } {
  const errors = problems.filter((it) => it.severity === 'error');
  const resources: DiscoveredResource[] = [];
  for (const [i, packed] of (response.resources as readonly Message[]).entries()) {
    const isWrapped = typeOf(packed) === wrapper;
    const message = isWrapped ? ((packed.resource ?? {}) as Message) : packed;
    const path = isWrapped ? `resources[${i}].resource` : `resources[${i}]`;
    const own = errors.filter((it) => isBelow(it.path, path));
    const actual = typeOf(message);
    if (actual !== type) return { refusal: `Unable to unpack as ${type}: ${textOf(message, actual)}` };
    const fatal = own.find((it) => isConstraint(it) && !isPacked(message, it.path.slice(path.length)));
    if (fatal !== undefined) return { refusal: fatal.envoy ?? fatal.message };
    resources.push({
      name: (isWrapped ? packed.name : message.name) as string,
      message,
      problems: own,
      at: new ParseContext(path, problems),
    });
  }
  return { resources };
}

function typeOf(packed: Message): string {
  const url = (packed['@type'] as string | undefined) ?? '';
  return url.slice(url.lastIndexOf('/') + 1);
}

function textOf(message: Message, type: string): string {
  const known = messageType(type);
  return known === undefined ? type : `\n[type.googleapis.com/${type}] {\n${writeText(known, message)}}\n`;
}

function isBelow(path: string, parent: string): boolean {
  return path === parent || path.startsWith(`${parent}.`) || path.startsWith(`${parent}[`);
}

function isConstraint({ envoy }: ConfigError): boolean {
  return envoy?.startsWith('Proto constraint validation failed') === true;
}

/** Whether the way to a place below a message leads into something packed in it. */
function isPacked(message: Message, path: string): boolean {
  let value: unknown = message;
  for (const [, name, index, key] of path.matchAll(/\.?([^.[\]]+)|\[(\d+)\]|\[("(?:[^"\\]|\\.)*")\]/g)) {
    if (typeof value !== 'object' || value === null) return false;
    if (value !== message && Object.hasOwn(value, '@type')) return true;
    value = (value as Message)[name ?? index ?? (JSON.parse(key!) as string)];
  }
  return typeof value === 'object' && value !== null && value !== message && Object.hasOwn(value, '@type');
}
