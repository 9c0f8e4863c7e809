// Sessions of TLS 1.2 by their ids, for clients without tickets. OpenSSL looks at their age.

/** BoringSSL's limit. */
const maxSessions = 20_480;

export class SessionCache {
  readonly #sessions = new Map<string, Buffer>();

  get(id: Buffer): Buffer | undefined {
    return this.#sessions.get(id.toString('latin1'));
  }

  set(id: Buffer, session: Buffer): void {
    if (this.#sessions.size >= maxSessions) this.#sessions.delete(this.#sessions.keys().next().value!);
    this.#sessions.set(id.toString('latin1'), session);
  }
}
