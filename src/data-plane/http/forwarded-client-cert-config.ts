// `forward_client_cert_details` and what goes with it, as plain data.
import type { ParseContext } from '#config/parse-context.ts';
import type { MatcherData } from '#extension/matchers/matcher-tree-config.ts';
import { parseMatcherTree } from '#extension/matchers/matcher-tree-parse.ts';
import { parseStreamInput, type StreamInputData } from '#extension/matchers/stream-input-config.ts';
import type {
  HttpConnectionManager,
  HttpConnectionManager_ForwardClientCertConfig,
} from '#schema/messages/envoy/extensions/filters/network/http_connection_manager/v3.ts';
import type { Matcher } from '#schema/messages/xds/type/matcher/v3.ts';
import { ForwardClientCert } from './manager-config.ts';

export interface ClientCertData {
  readonly mode: ForwardClientCert;
  readonly subject: boolean;
  readonly cert: boolean;
  readonly chain: boolean;
  readonly dns: boolean;
  readonly uri: boolean;
  readonly issuer: boolean;
  readonly isJson: boolean;
}

export type ClientCertMatcherData = MatcherData<StreamInputData, ClientCertData>;

const modes: Readonly<Record<string, ForwardClientCert>> = {
  SANITIZE: ForwardClientCert.Sanitize,
  FORWARD_ONLY: ForwardClientCert.ForwardOnly,
  APPEND_FORWARD: ForwardClientCert.AppendForward,
  SANITIZE_SET: ForwardClientCert.SanitizeSet,
  ALWAYS_FORWARD_ONLY: ForwardClientCert.AlwaysForwardOnly,
};

export function parseClientCert({
  forward_client_cert_details: mode,
  set_current_client_cert_details: details,
}: Pick<
  HttpConnectionManager,
  'forward_client_cert_details' | 'set_current_client_cert_details'
>): ClientCertData {
  return {
    mode: modes[mode] ?? ForwardClientCert.Sanitize,
    subject: details?.subject ?? false,
    cert: details?.cert ?? false,
    chain: details?.chain ?? false,
    dns: details?.dns ?? false,
    uri: details?.uri ?? false,
    issuer: details?.issuer ?? false,
    isJson: details?.format === 'JSON',
  };
}

const actionType =
  'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.ForwardClientCertConfig';

export function parseClientCertMatcher(message: Matcher, at: ParseContext): ClientCertMatcherData {
  return parseMatcherTree<StreamInputData, ClientCertData>(message, at, {
    takesCel: true,
    input: (type, config, here) => parseStreamInput(type, config, here, true),
    action(type, config, here) {
      if (type === actionType)
        return parseClientCert(config as HttpConnectionManager_ForwardClientCertConfig);
      here.unsupported(`action ${type} is not supported here`, { expected: actionType });
      return undefined;
    },
  });
}
