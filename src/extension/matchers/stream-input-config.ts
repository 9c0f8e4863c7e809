// Inputs of matcher trees that look at a connection or at a request with its connection, as plain data.

import { latin1OfUtf8 } from '#base/utf8.ts';
import type { ParseContext } from '#config/parse-context.ts';
import type { Config as EnvironmentVariable } from '#schema/messages/envoy/extensions/matching/common_inputs/environment_variable/v3.ts';
import type { FilterStateInput } from '#schema/messages/envoy/extensions/matching/common_inputs/network/v3.ts';
import type { HttpRequestHeaderMatchInput } from '#schema/messages/envoy/type/matcher/v3.ts';

export type StreamInputData =
  | { readonly kind: ConnectionInputKind }
  | { readonly kind: 'request_header'; readonly name: string }
  | { readonly kind: 'filter_state'; readonly key: string; readonly field: string }
  /** Undefined: there is no such variable. */
  | { readonly kind: 'constant'; readonly value: string | undefined };

const connectionInputs = {
  'envoy.extensions.matching.common_inputs.network.v3.DestinationIPInput': 'destination_ip',
  'envoy.extensions.matching.common_inputs.network.v3.DestinationPortInput': 'destination_port',
  'envoy.extensions.matching.common_inputs.network.v3.SourceIPInput': 'source_ip',
  'envoy.extensions.matching.common_inputs.network.v3.SourcePortInput': 'source_port',
  'envoy.extensions.matching.common_inputs.network.v3.DirectSourceIPInput': 'direct_source_ip',
  'envoy.extensions.matching.common_inputs.network.v3.ServerNameInput': 'server_name',
  'envoy.extensions.matching.common_inputs.ssl.v3.UriSanInput': 'uri_san',
  'envoy.extensions.matching.common_inputs.ssl.v3.DnsSanInput': 'dns_san',
  'envoy.extensions.matching.common_inputs.ssl.v3.SubjectInput': 'subject',
} as const;

export type ConnectionInputKind = (typeof connectionInputs)[keyof typeof connectionInputs];

const filterStateInput = 'envoy.extensions.matching.common_inputs.network.v3.FilterStateInput';
const environmentInput = 'envoy.extensions.matching.common_inputs.environment_variable.v3.Config';
const headerInput = 'envoy.type.matcher.v3.HttpRequestHeaderMatchInput';

/** `at` stands on the input. Always an input; one that is not supported is reported. */
export function parseStreamInput(
  type: string,
  config: unknown,
  at: ParseContext,
  hasHeaders: boolean,
): StreamInputData {
  const kind = (connectionInputs as Readonly<Record<string, ConnectionInputKind>>)[type];
  if (kind !== undefined) return { kind };
  if (type === filterStateInput) {
    const { key, field } = config as FilterStateInput;
    return { kind: 'filter_state', key, field };
  }
  if (type === environmentInput) {
    const value = process.env[(config as EnvironmentVariable).name];
    return { kind: 'constant', value: value && latin1OfUtf8(value) };
  }
  if (type === headerInput && hasHeaders)
    return {
      kind: 'request_header',
      name: (config as HttpRequestHeaderMatchInput).header_name.toLowerCase(),
    };
  at.unsupported(`matching input ${type} is not supported here by chancery`, {
    expected: [
      ...Object.keys(connectionInputs),
      filterStateInput,
      environmentInput,
      ...(hasHeaders ? [headerInput] : []),
    ].join(', '),
  });
  return { kind: 'constant', value: undefined };
}
