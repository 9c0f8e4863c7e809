// The status of HTTP that a service refuses with.
import type { CheckResponse } from '#schema/messages/envoy/service/auth/v3.ts';
import { enumType } from '#schema/registry.ts';

/** 403 unless another one is named; of an error that the service has, 0. */
export function refusalStatus({ denied_response: denied, error_response: error }: CheckResponse): number {
  const { code } = (error ?? denied)?.status ?? {};
  const status = code === undefined ? 0 : (enumType('envoy.type.v3.StatusCode')!.numberOf(code) ?? 0);
  return status === 0 && error === undefined ? 403 : status;
}
