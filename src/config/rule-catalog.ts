// Every rule with its id, what it does by default, and one line about it. Each has a page `docs/rules/<id>.md`, which a test compares
// with this list and whose examples the test runs.

import type { Severity } from './config-error.ts';

export interface RuleInfo {
  readonly title: string;
  readonly severity: Severity;
  /** A warning that `--strict` turns into an error. */
  readonly isStrict?: boolean;
}

export const ruleCatalog: Readonly<Record<string, RuleInfo>> = {
  // The text
  syntax: { title: 'The file is not valid YAML, JSON or protobuf', severity: 'error' },
  'invalid-utf8': { title: 'The file is not valid UTF-8', severity: 'error' },
  'unreadable-file': { title: 'A file that was named cannot be read', severity: 'error' },
  'too-large': { title: 'The file is too large to be a configuration', severity: 'error' },
  'too-deep': { title: 'Values are nested too deeply', severity: 'error' },
  'empty-file': { title: 'The file has no configuration in it', severity: 'error' },
  'duplicate-key': { title: 'A key stands twice in one map', severity: 'warning', isStrict: true },
  'open-quote': { title: 'A quote that is never closed', severity: 'warning', isStrict: true },
  'ignored-content': { title: 'A part of the file is never read', severity: 'warning', isStrict: true },
  // The schema
  'unknown-field': { title: 'A field that the message does not have', severity: 'error' },
  'unknown-enum-value': { title: 'A value that the enum does not have', severity: 'error' },
  'unknown-type': { title: 'An @type that does not exist', severity: 'error' },
  'missing-type': { title: 'A packed message without @type', severity: 'error' },
  'wrong-type': { title: 'A value of the wrong kind', severity: 'error' },
  'list-for-object': { title: 'A list where an object belongs', severity: 'error' },
  'object-for-list': { title: 'An object where a list belongs', severity: 'error' },
  'invalid-value': { title: 'A value that cannot be read', severity: 'error' },
  'out-of-range': { title: 'A number that does not fit its field', severity: 'error' },
  'duration-unit': { title: 'A duration that is not written as seconds', severity: 'error' },
  'oneof-conflict': { title: 'Fields that exclude each other', severity: 'error' },
  'missing-required': { title: 'A required field is missing', severity: 'error' },
  constraint: { title: 'A value outside what its field allows', severity: 'error' },
  'deprecated-field': { title: 'A deprecated field or value', severity: 'warning' },
  'disallowed-field': { title: 'A field or value that is no longer allowed', severity: 'error' },
  'work-in-progress': { title: 'A part of the API that may still change', severity: 'note' },
  'invalid-config': { title: 'A value that the part it configures cannot use', severity: 'error' },
  unsupported: { title: 'Something that chancery does not implement', severity: 'error' },
  // Extensions
  'unknown-extension': { title: 'No extension of this kind takes this type', severity: 'error' },
  'terminal-filter': {
    title: 'The last filter of a chain is not terminal, or a terminal one is not last',
    severity: 'error',
  },
  'missing-router': {
    title: 'No HTTP filter answers or routes requests',
    severity: 'warning',
    isStrict: true,
  },
  // Clusters
  'duplicate-cluster': { title: 'Two clusters with one name', severity: 'error' },
  'unknown-cluster': { title: 'A route to a cluster that is not defined', severity: 'error' },
  'unknown-cluster-unchecked': {
    title: 'A cluster that is not defined, in a place that Envoy does not check',
    severity: 'warning',
    isStrict: true,
  },
  'unknown-grpc-cluster': {
    title: 'A gRPC service on a cluster that is not defined',
    severity: 'warning',
    isStrict: true,
  },
  'cluster-config': { title: 'A cluster whose fields do not fit its type', severity: 'error' },
  'malformed-address': { title: 'An address that is not an IP address', severity: 'error' },
  'hash-table-size': { title: 'A ring or table size that consistent hashing cannot use', severity: 'error' },
  'health-check-config': { title: 'A health check that cannot work', severity: 'error' },
  'eds-cluster-name': {
    title: 'Endpoints under another name than their cluster',
    severity: 'warning',
    isStrict: true,
  },
  'no-endpoints': { title: 'A cluster without endpoints', severity: 'warning' },
  // xDS
  'xds-node-id': { title: 'Discovery without node id and cluster', severity: 'error' },
  'xds-config': { title: 'A discovery source that cannot work', severity: 'error' },
  'missing-file': { title: 'A file that the configuration names does not exist', severity: 'error' },
  // Listeners
  'duplicate-listener-address': { title: 'Two listeners on one address', severity: 'error' },
  'duplicate-name': { title: 'Two things with one name, of which one is hard to find', severity: 'warning' },
  'stats-config': { title: 'A statistics setting that cannot work', severity: 'error' },
  'port-conflict': {
    title: 'The admin interface on the address of a listener',
    severity: 'warning',
    isStrict: true,
  },
  'listener-config': { title: 'A listener whose fields do not fit together', severity: 'error' },
  'filter-chain-overlap': { title: 'Two filter chains for the same connections', severity: 'error' },
  'http-config': {
    title: 'Options of the HTTP connection manager or of its filters that do not fit together',
    severity: 'error',
  },
  'runtime-config': { title: 'Runtime layers that cannot be', severity: 'error' },
  'overload-config': { title: 'An overload manager that cannot work', severity: 'error' },
  'tracing-config': { title: 'A tracer that cannot work', severity: 'error' },
  // Routes
  'duplicate-domain': { title: 'A domain in two virtual hosts', severity: 'error' },
  'unreachable-domain': { title: 'A domain that no host name can match', severity: 'warning' },
  'unreachable-route': {
    title: 'A route behind one that takes all its requests',
    severity: 'warning',
    isStrict: true,
  },
  'route-config': { title: 'A route whose fields do not fit together', severity: 'error' },
  'weighted-clusters': { title: 'Weights that do not choose a cluster', severity: 'error' },
  'invalid-regex': { title: 'A regular expression that RE2 does not take', severity: 'error' },
  'protected-header': { title: 'A header that must not be changed', severity: 'error' },
  'format-string': { title: 'A format with an unknown command', severity: 'error' },
  'duplicate-upgrade': { title: 'An upgrade type that is configured twice', severity: 'error' },
  'retry-policy': { title: 'A retry policy that does nothing or contradicts itself', severity: 'warning' },
  'timeout-conflict': { title: 'Timeouts that defeat each other', severity: 'warning' },
  // TLS
  'duplicate-secret': { title: 'Two secrets of one kind with one name', severity: 'error' },
  'tls-certificate': { title: 'A certificate or key that cannot be used', severity: 'error' },
  'tls-parameters': { title: 'A cipher suite or curve that does not exist', severity: 'error' },
  'tls-validation': { title: 'Certificate validation that cannot work', severity: 'error' },
  'certificate-expiry': { title: 'A certificate that is expired or about to', severity: 'warning' },
  'unknown-secret': { title: 'A secret that is not defined', severity: 'error' },
};

export function isStrictRule(id: string): boolean {
  return ruleCatalog[id]?.isStrict === true;
}
