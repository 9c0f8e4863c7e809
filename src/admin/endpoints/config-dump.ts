// The accepted configuration, as its owners keep it.
import { compileRegex, regexProblem } from '#base/regex.ts';
import type { Message, MessageType } from '#schema/descriptor.ts';
import { toJson } from '#schema/json.ts';
import { message, typeUrl } from '#schema/registry.ts';
import { type AdminEndpoint, type AdminResponse, contentTypes } from '../endpoint.ts';
import { applyFieldMask, type MaskNode, parseFieldMask } from '../field-mask.ts';
import { jsonPage } from '../json-page.ts';
import type { ConfigDumpSection } from '../owners.ts';

interface Dumped {
  readonly type: MessageType;
  readonly message: Message;
}

/** The sections register as their owners come up. */
export class ConfigDump {
  readonly #sections: ConfigDumpSection[] = [];

  register(...sections: readonly ConfigDumpSection[]): void {
    this.#sections.push(...sections);
    this.#sections.sort((a, b) => a.order - b.order);
  }

  endpoint(): AdminEndpoint {
    return {
      path: '/config_dump',
      help: 'dump current Envoy configs',
      mutates: false,
      parameters: [
        { name: 'resource', help: 'The resource to dump' },
        {
          name: 'mask',
          help: 'The mask to apply. When both resource and mask are specified, the mask is applied to every element in the desired repeated field so that only a subset of fields are returned. The mask is parsed as a Protobuf::FieldMask',
        },
        {
          name: 'name_regex',
          help: 'Dump only the currently loaded configurations whose names match the specified regex. Can be used with both resource and mask query parameters.',
        },
        {
          name: 'include_eds',
          isFlag: true,
          help: 'Dump currently loaded configuration including EDS. See the response definition for more information',
        },
      ],
      handle: ({ query }) => {
        const pattern = query.value('name_regex') ?? '';
        const problem = regexProblem(pattern);
        if (problem !== undefined) {
          return refusal(400, `INVALID_ARGUMENT: Error while parsing name_regex from ${pattern}: ${problem}`);
        }
        const regex = compileRegex(pattern);
        const matches = pattern === '' ? () => true : (name: string) => regex.fullMatch(name);
        const sections = this.#sections
          .filter(({ isEndpoints }) => !isEndpoints || query.has('include_eds'))
          .flatMap(({ type, dump }): Dumped[] => {
            const dumped = dump(matches);
            return dumped === undefined ? [] : [{ type: message(type)!, message: dumped as Message }];
          });
        const mask = query.value('mask');
        const resource = query.value('resource');
        return resource === undefined ? all(sections, mask) : oneResource(sections, resource, mask);
      },
    };
  }
}

function all(sections: readonly Dumped[], mask: string | undefined): AdminResponse {
  if (mask === undefined) return dumpPage(sections);
  const node = parseFieldMask(mask);
  const cut = sections.flatMap((it) => masked(it, node) ?? []);
  if (cut.length === 0)
    return refusal(400, `FieldMask ${mask} could not be successfully applied to any configs.`);
  return dumpPage(cut);
}

/** The elements of the one list of that name. */
function oneResource(sections: readonly Dumped[], name: string, mask: string | undefined): AdminResponse {
  const section = sections.find(({ type }) => type.field(name) !== undefined);
  const field = section?.type.field(name);
  if (section === undefined || field === undefined) return refusal(404, `${name} not found in config dump`);
  if (!field.isRepeated) {
    return refusal(400, `${name} is not a repeated field. Use ?mask=${name} to get only this field`);
  }
  const elements = ((section.message[name] ?? []) as readonly Message[]).map(
    (it): Dumped => ({ type: field.message, message: it }),
  );
  if (mask === undefined) return dumpPage(elements);
  const node = parseFieldMask(mask);
  const cut: Dumped[] = [];
  for (const element of elements) {
    const kept = masked(element, node);
    if (kept === undefined) {
      const paths = mask.split(',').map((path) => `paths: ${JSON.stringify(path)}\n`);
      return refusal(400, `FieldMask ${paths.join('')} could not be successfully used.`);
    }
    cut.push(kept);
  }
  return dumpPage(cut);
}

function masked({ type, message }: Dumped, mask: MaskNode): Dumped | undefined {
  const cut = applyFieldMask(type, message, mask);
  return cut && { type, message: cut };
}

function dumpPage(dumped: readonly Dumped[]): AdminResponse {
  const configs = dumped.map(({ type, message }) => ({ '@type': typeUrl(type), ...message }));
  return jsonPage(toJson(message('envoy.admin.v3.ConfigDump'), { configs }, { redact: true }));
}

function refusal(status: number, body: string): AdminResponse {
  return { status, contentType: contentTypes.bareText, body };
}
