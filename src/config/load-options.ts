// What the command line says about reading configuration.

export interface LoadOptions {
  /** `--allow-unknown-static-fields`: unknown fields in a bootstrap only warn. */
  readonly allowUnknownStaticFields?: boolean;
  /** `--reject-unknown-dynamic-fields`: unknown fields in discovery files are errors; by default they warn. */
  readonly rejectUnknownDynamicFields?: boolean;
  /** `--ignore-unknown-dynamic-fields`: not even a warning. */
  readonly ignoreUnknownDynamicFields?: boolean;
  /** `--skip-deprecated-logs` */
  readonly skipDeprecatedLogs?: boolean;
  /** `--service-node`, `--service-cluster`: stand in for `node.id` and `node.cluster`. */
  readonly serviceNode?: string;
  readonly serviceCluster?: string;
  /** A proxy starts with it: it asks for listeners, which validating does not. */
  readonly isStart?: boolean;
  /** Warnings about configurations that Envoy should refuse become errors. */
  readonly strict?: boolean;
  /** What standard input holds, for the file `-`. Default: read it. */
  readonly stdin?: Buffer;
  /** Today, for certificates. Default: now. */
  readonly now?: Date;
}
