// `.pb_text` files: protobuf's text format -> message, with a tree of the places so that later problems find their line.
import type { Message, MessageType } from '#schema/descriptor.ts';
import { readText } from '#schema/text.ts';
import { ConfigError } from './config-error.ts';
import { nearest } from './edit-distance.ts';
import type { Source } from './locate.ts';
import { type Tree, TreeList, TreeMap } from './tree.ts';

export function readProtoText(
  file: string,
  text: string,
  type: MessageType,
  problems: ConfigError[],
): { source: Source; message: Message } {
  const tree = new TreeMap(0);
  const { message, problems: found } = readText(type, text, {
    onValue: (path, nameAt, valueAt) => addPlace(tree, path, nameAt, valueAt),
  });
  for (const { kind, path, problem, unknown, line, column } of found) {
    const meant = unknown && nearest(unknown.name, unknown.candidates);
    const error = new ConfigError(path, problem, {
      rule: kind,
      envoy: `Unable to parse file "${file}" as a text protobuf (type ${type.name})`,
      ...(meant !== undefined && { suggestion: `did you mean "${meant}"?` }),
    });
    error.file = file;
    error.line = line;
    error.column = column;
    problems.push(error);
  }
  return { source: { file, text, tree, start: 0 }, message };
}

// Values arrive before what is inside them, so that all but the last step are there already.
function addPlace(root: TreeMap, path: readonly (string | number)[], nameAt: number, valueAt: number): void {
  let parent: TreeMap | TreeList = root;
  for (let i = 0; i < path.length - 1; i++)
    parent = container(parent, path[i]!, typeof path[i + 1] === 'number');
  const last = path.at(-1)!;
  if (parent instanceof TreeList) {
    parent.items.push(null);
    parent.itemAt.push(valueAt);
  } else if (!parent.keys.includes(last as string)) {
    parent.keys.push(last as string);
    parent.values.push(null);
    parent.keyAt.push(nameAt);
    parent.valueAt.push(valueAt);
  }
}

function container(parent: TreeMap | TreeList, step: string | number, isList: boolean): TreeMap | TreeList {
  const values: Tree[] = parent instanceof TreeList ? parent.items : parent.values;
  const index = parent instanceof TreeList ? (step as number) : parent.keys.indexOf(step as string);
  let value = values[index];
  if (!(value instanceof TreeMap) && !(value instanceof TreeList)) {
    const at = parent instanceof TreeList ? parent.itemAt[index]! : parent.valueAt[index]!;
    value = isList ? new TreeList(at) : new TreeMap(at);
    values[index] = value;
  }
  return value;
}
