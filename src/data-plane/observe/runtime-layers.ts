// `layered_runtime` on the main thread: the layers by name, the effective values for the workers, the overrides of operators.
import { readdirSync, readFileSync, statSync, watch } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { RuntimeOwner } from '#admin/owners.ts';
import { logger } from '#base/logger.ts';
import type { ParseContext } from '#config/parse-context.ts';
import { type Tree, TreeMap } from '#config/tree.ts';
import { parseYaml } from '#config/yaml.ts';
import type { RuntimePercent, RuntimeValue } from '#extension/runtime.ts';
import { denominators } from '#extension/runtime-config.ts';
import type { LayeredRuntime } from '#schema/messages/envoy/config/bootstrap/v3.ts';
import type { Counter, Gauge } from '#stats/metric.ts';
import type { Scope } from '#stats/store.ts';

const log = logger('runtime');

export type RuntimeLayerConfig =
  | {
      readonly kind: 'static';
      readonly name: string;
      readonly values: Readonly<Record<string, RuntimeEntry>>;
    }
  | { readonly kind: 'admin'; readonly name: string }
  | {
      readonly kind: 'disk';
      readonly name: string;
      readonly symlinkRoot: string;
      readonly folder: string;
      /** The folder has one for each service cluster. */
      readonly isOfCluster: boolean;
    };

/** A value, and how `/runtime` prints it. */
interface RuntimeEntry {
  readonly value: RuntimeValue;
  readonly text: string;
}

export function parseLayeredRuntime(
  layered: LayeredRuntime | undefined,
  at: ParseContext,
): RuntimeLayerConfig[] {
  const layers: RuntimeLayerConfig[] = [];
  layered?.layers.forEach((layer, i) => {
    const { name } = layer;
    if (layer.static_layer !== undefined) {
      const values: Record<string, RuntimeEntry> = {};
      flatten('', layer.static_layer, values);
      layers.push({ kind: 'static', name, values });
    } else if (layer.admin_layer !== undefined) layers.push({ kind: 'admin', name });
    else if (layer.disk_layer !== undefined) {
      const { symlink_root, subdirectory, append_service_cluster } = layer.disk_layer;
      const folder = join(symlink_root, subdirectory);
      layers.push({
        kind: 'disk',
        name,
        symlinkRoot: symlink_root,
        folder,
        isOfCluster: append_service_cluster,
      });
    } else if (layer.rtds_layer !== undefined) at.field('layers', i).field('rtds_layer').unsupported();
  });
  return layers;
}

/** `runtime.` */
class RuntimeStats {
  readonly deprecatedFeatureUse: Counter;
  readonly deprecatedFeatureSeen: Gauge;
  readonly adminOverridesActive: Gauge;
  readonly loadError: Counter;
  readonly loadSuccess: Counter;
  readonly numKeys: Gauge;
  readonly numLayers: Gauge;
  readonly overrideDirExists: Counter;
  readonly overrideDirNotExists: Counter;

  constructor(scope: Scope) {
    this.adminOverridesActive = scope.gauge('admin_overrides_active', 'never_import');
    this.loadError = scope.counter('load_error');
    this.loadSuccess = scope.counter('load_success');
    this.numKeys = scope.gauge('num_keys', 'never_import');
    this.numLayers = scope.gauge('num_layers', 'never_import');
    this.overrideDirExists = scope.counter('override_dir_exists');
    this.overrideDirNotExists = scope.counter('override_dir_not_exists');
    this.deprecatedFeatureUse = scope.counter('deprecated_feature_use');
    this.deprecatedFeatureSeen = scope.gauge('deprecated_feature_seen_since_process_start', 'never_import');
  }
}

interface RuntimeLayer {
  readonly config: RuntimeLayerConfig;
  values: Map<string, RuntimeEntry>;
  /** A folder that is not there makes no layer, nor does one that cannot be read. */
  state: 'present' | 'absent' | 'failed';
}

export class RuntimeLayers implements RuntimeOwner {
  readonly #layers: readonly RuntimeLayer[];
  readonly #serviceCluster: string;
  readonly #stats: RuntimeStats;
  readonly #onChange: (values: Readonly<Record<string, RuntimeValue>>) => void;
  readonly #watchers: (() => void)[] = [];

  /** `onChange` gets the effective values whenever they may have changed: they go to the workers. */
  constructor(
    layers: readonly RuntimeLayerConfig[],
    serviceCluster: string,
    stats: Scope,
    onChange: (values: Readonly<Record<string, RuntimeValue>>) => void,
  ) {
    this.#stats = stats.scope('runtime').stats(RuntimeStats);
    this.#onChange = onChange;
    this.#serviceCluster = serviceCluster;
    this.#layers = layers.map((config) => ({ config, values: new Map(), state: 'present' }));
    for (const layer of this.#layers) this.#load(layer);
    for (const layer of this.#layers) {
      const { config } = layer;
      if (config.kind !== 'disk') continue;
      // The link is replaced as a whole: that is the moment to read anew.
      try {
        const watcher = watch(dirname(config.symlinkRoot), (_, file) => {
          if (file !== basename(config.symlinkRoot)) return;
          this.#load(layer);
          this.#changed();
        });
        watcher.unref();
        this.#watchers.push(() => watcher.close());
      } catch (error) {
        log.warn(`cannot watch ${dirname(config.symlinkRoot)}: ${(error as Error).message}`);
      }
    }
    // Envoy loads the layers twice when it starts.
    this.#count();
    this.#count();
  }

  /** Of deprecated fields in the configuration. */
  noteDeprecated(uses: number): void {
    // Written, they would be listed as used.
    if (uses === 0) return;
    this.#stats.deprecatedFeatureUse.value += uses;
    this.#stats.deprecatedFeatureSeen.value += uses;
  }

  close(): void {
    for (const close of this.#watchers) close();
  }

  /** The effective value of every key: the highest layer that has it counts. */
  values(): Readonly<Record<string, RuntimeValue>> {
    const values: Record<string, RuntimeValue> = {};
    for (const layer of this.#layers) for (const [key, { value }] of layer.values) values[key] = value;
    return values;
  }

  layers(): readonly string[] {
    return this.#present().map(({ config }) => config.name);
  }

  #present(): readonly RuntimeLayer[] {
    return this.#layers.filter(({ state }) => state === 'present');
  }

  entries(): ReturnType<RuntimeOwner['entries']> {
    const layers = this.#present();
    const keys = new Set(layers.flatMap(({ values }) => [...values.keys()]));
    return [...keys].map((key) => {
      const layerValues = layers.map(({ values }) => values.get(key)?.text ?? '');
      return { key, layerValues, finalValue: layerValues.findLast((it) => it !== '') ?? '' };
    });
  }

  setAdminLayer(values: readonly (readonly [key: string, value: string])[]): boolean {
    const admin = this.#layers.find(({ config }) => config.kind === 'admin');
    if (admin === undefined) return false;
    for (const [key, text] of values) {
      if (text === '') admin.values.delete(key);
      else admin.values.set(key, entryOf(text));
    }
    this.#stats.adminOverridesActive.value = admin.values.size > 0 ? 1 : 0;
    this.#changed();
    return true;
  }

  #changed(): void {
    this.#count();
    this.#onChange(this.values());
  }

  #count(): void {
    const stats = this.#stats;
    const layers = this.#present();
    if (this.#layers.some(({ state }) => state === 'failed')) stats.loadError.value++;
    else stats.loadSuccess.value++;
    // The second folder on disk is what Envoy calls the override directory.
    const folders = layers.filter(({ config }) => config.kind === 'disk').length;
    if (folders > 1) stats.overrideDirExists.value++;
    else stats.overrideDirNotExists.value++;
    stats.numLayers.value = layers.length;
    stats.numKeys.value = this.entries().length;
  }

  #load(layer: RuntimeLayer): void {
    const { config } = layer;
    if (config.kind === 'admin') return;
    if (config.kind === 'static') {
      layer.values = new Map(Object.entries(config.values));
      return;
    }
    const values = new Map<string, RuntimeEntry>();
    try {
      readFolder(config.isOfCluster ? join(config.folder, this.#serviceCluster) : config.folder, '', values);
      layer.state = 'present';
    } catch (error) {
      values.clear();
      layer.state = (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'absent' : 'failed';
      if (layer.state === 'failed')
        log.warn(`cannot read the runtime values of ${config.folder}: ${(error as Error).message}`);
    }
    layer.values = values;
  }
}

/** `a/b` holds the value of `a.b`; lines that begin with # are comments. */
function readFolder(folder: string, prefix: string, values: Map<string, RuntimeEntry>): void {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    if (statSync(path).isDirectory()) readFolder(path, `${prefix}${name}.`, values);
    else {
      const lines = readFileSync(path, 'utf8')
        .split('\n')
        .filter((line) => !line.startsWith('#'));
      values.set(`${prefix}${name}`, entryOf(lines.join('\n').trimEnd()));
    }
  }
}

/** Nested structs become keys with dots; a struct with numerator or denominator is a percentage, and one value. */
function flatten(prefix: string, value: unknown, into: Record<string, RuntimeEntry>): void {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    const fields = Object.entries(value);
    if (prefix !== '' && (fields.length === 0 || 'numerator' in value || 'denominator' in value)) {
      const text = structText(value);
      into[prefix] = { value: percentOf(fields) ?? text, text };
      return;
    }
    for (const [key, it] of fields) flatten(prefix === '' ? key : `${prefix}.${key}`, it, into);
    return;
  }
  if (typeof value === 'string') into[prefix] = { value: numberIn(value) ?? value, text: value };
  else if (typeof value === 'number') into[prefix] = { value, text: numberText(value) };
  else if (typeof value === 'boolean') into[prefix] = { value, text: String(value) };
}

/** Of an operator or a file: YAML, of which integers, booleans and percentages count, and any text that is a number. */
function entryOf(text: string): RuntimeEntry {
  let tree: Tree | undefined;
  try {
    tree = parseYaml(text).tree;
  } catch {
    return { value: text, text };
  }
  if (typeof tree === 'boolean' || typeof tree === 'number') return { value: tree, text };
  if (typeof tree === 'string') return { value: numberIn(text) ?? text, text };
  if (tree instanceof TreeMap) {
    const { keys, values } = tree;
    return { value: percentOf(keys.map((key, i) => [key, values[i]])) ?? text, text };
  }
  return { value: text, text };
}

function numberIn(text: string): number | undefined {
  const decimal = /^\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*$/i;
  return decimal.test(text) || /^\s*0x[\da-f]+\s*$/i.test(text) ? Number(text) : undefined;
}

/** As Envoy reads a struct: without a numerator it is none of the requests; undefined when there is more in it. */
function percentOf(fields: readonly (readonly [key: string, value: unknown])[]): RuntimePercent | undefined {
  let numerator = 0;
  let denominator = 100;
  for (const [key, value] of fields) {
    if (key === 'numerator') {
      if (typeof value === 'number') numerator = value >>> 0;
    } else if (key === 'denominator' && typeof value === 'string' && value in denominators) {
      denominator = denominators[value as keyof typeof denominators];
    } else return undefined;
  }
  return { numerator, denominator };
}

/** As the text form of a Struct: what Envoy shows of a percentage. */
function structText(value: object): string {
  const fields = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return fields
    .map(([key, it]) => {
      const inner = typeof it === 'string' ? `string_value: ${JSON.stringify(it)}` : `number_value: ${it}`;
      return `fields {\n  key: ${JSON.stringify(key)}\n  value {\n    ${inner}\n  }\n}\n`;
    })
    .join('');
}

function numberText(value: number): string {
  return Number.isInteger(value) ? BigInt(value).toString() : String(value);
}
