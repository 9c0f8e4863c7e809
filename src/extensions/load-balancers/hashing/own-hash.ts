// `hash_policy` of a load balancer: it hashes requests itself, whatever their route says.
import type { Uint64 } from '#base/uint64.ts';
import type { CookieSetter, HashPolicies } from '#extension/hash-policy.ts';
import type { PickContext } from '#extension/load-balancer.ts';

export class OwnHash implements CookieSetter {
  readonly #policies: HashPolicies;
  #context: PickContext | undefined = undefined;

  constructor(policies: HashPolicies) {
    this.#policies = policies;
  }

  compute(context: PickContext, into: Uint64): boolean {
    this.#context = context;
    const isHashed = this.#policies.hash(context, this, into);
    this.#context = undefined;
    return isHashed;
  }

  get addresses(): string {
    const info = this.#context!.streamInfo;
    return info === undefined ? '' : info.remoteAddress + info.connection.localAddress;
  }

  setCookie(text: string): void {
    this.#context!.keepCookie?.(text);
  }
}
