// Asks an envoy.service.auth.v3.Authorization service.
import { latin1OfUtf8 } from '#base/utf8.ts';
import type { FormatContext } from '#extension/formatter.ts';
import { type GrpcServiceData, MethodClient } from '#extension/grpc-service.ts';
import { AppendAction } from '#extension/header-mutations.ts';
import type { WorkerServices } from '#extension/worker-services.ts';
import type { HeaderValueOption } from '#schema/messages/envoy/config/core/v3.ts';
import type { CheckRequestInit, CheckResponse } from '#schema/messages/envoy/service/auth/v3.ts';
import { checkMethod } from '../../ext-authz/check-request.ts';
import { refusalStatus } from '../../ext-authz/refusal-status.ts';
import {
  type Checker,
  type HeaderChange,
  Outcome,
  type PendingCheck,
  type Verdict,
  verdictOf,
} from './verdict.ts';

export class GrpcChecker implements Checker {
  readonly #client: MethodClient<'envoy.service.auth.v3.CheckRequest', 'envoy.service.auth.v3.CheckResponse'>;

  constructor(data: GrpcServiceData, services: WorkerServices) {
    this.#client = new MethodClient(data, checkMethod, services);
  }

  check(
    request: CheckRequestInit,
    context: FormatContext,
    onVerdict: (verdict: Verdict) => void,
  ): PendingCheck {
    return this.#client.call(request, context, {
      onResponse: (response) => onVerdict(verdictOfResponse(response)),
      onFailure: () => onVerdict(verdictOf({ outcome: Outcome.Error })),
    });
  }
}

function verdictOfResponse(response: CheckResponse): Verdict {
  const { denied_response: denied, error_response: error, ok_response: ok } = response;
  const metadata = ok?.dynamic_metadata ?? response.dynamic_metadata;
  if ((response.status?.code ?? 0) === 0) {
    const request = changes(ok?.headers ?? []);
    const answer = changes(ok?.response_headers_to_add ?? []);
    return verdictOf({
      outcome: Outcome.Allowed,
      // Whatever their action says, headers of the request are overwritten; what `append` joins comes after all others.
      requestHeaders: [...request.changes]
        .sort((a, b) => Number(a.joins) - Number(b.joins))
        .map((it) => ({ ...it, action: AppendAction.OverwriteIfExistsOrAdd })),
      headersToRemove: (ok?.headers_to_remove ?? []).map((it) => latin1OfUtf8(it).toLowerCase()),
      queryToSet: (ok?.query_parameters_to_set ?? []).map(({ key, value }) => ({
        key: latin1OfUtf8(key),
        value: latin1OfUtf8(value),
      })),
      queryToRemove: (ok?.query_parameters_to_remove ?? []).map(latin1OfUtf8),
      responseHeaders: answer.changes,
      metadata,
      sawInvalidAction: request.sawInvalid || answer.sawInvalid,
    });
  }
  const given = error ?? denied;
  const headers = changes(given?.headers ?? []);
  return verdictOf({
    outcome: error === undefined ? Outcome.Denied : Outcome.Error,
    status: refusalStatus(response),
    body: latin1OfUtf8(given?.body ?? ''),
    localHeaders: headers.changes,
    metadata,
    sawInvalidAction: headers.sawInvalid,
  });
}

const actions: Readonly<Record<string, AppendAction>> = {
  APPEND_IF_EXISTS_OR_ADD: AppendAction.AppendIfExistsOrAdd,
  ADD_IF_ABSENT: AppendAction.AddIfAbsent,
  OVERWRITE_IF_EXISTS_OR_ADD: AppendAction.OverwriteIfExistsOrAdd,
  OVERWRITE_IF_EXISTS: AppendAction.OverwriteIfExists,
};

function changes(options: readonly HeaderValueOption[]): {
  readonly changes: HeaderChange[];
  readonly sawInvalid: boolean;
} {
  let sawInvalid = false;
  const found = options.map(({ header, append, append_action: named }): HeaderChange => {
    const name = latin1OfUtf8(header?.key ?? '').toLowerCase();
    const value = latin1OfUtf8(header?.value ?? '');
    // The deprecated `append` joins instead of adding.
    if (append !== undefined)
      return { name, value, action: AppendAction.OverwriteIfExistsOrAdd, joins: append };
    const action = actions[named];
    if (action === undefined) sawInvalid = true;
    return { name, value, action: action ?? AppendAction.OverwriteIfExistsOrAdd, joins: false };
  });
  return { changes: found, sawInvalid };
}
