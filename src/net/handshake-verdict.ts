// Whether a client may pass with the certificates it has shown, decided while OpenSSL still shakes hands with it: who is refused gets the
// alert that says why, and in TLS 1.2 no finished handshake. Node asks only when all is over. Through `node:ffi`, where that is.
import { X509Certificate } from 'node:crypto';
import type { SecureContext } from 'node:tls';
import { inspect } from 'node:util';
import { foreignFunctions } from '#base/foreign-functions.ts';

/** Of the numbers that OpenSSL has for what is wrong with a chain, and that it makes alerts of. */
export const ChainError = {
  None: 0,
  Unspecified: 1,
  TooLong: 22,
  Purpose: 26,
  /** "Permitted subtree violation" has no alert of its own: the client hears `certificate_unknown`. */
  Other: 47,
} as const;

/** What a peer has shown, and what OpenSSL says of it. */
export interface PeerChain {
  /** The peer's own one first; at least that. */
  readonly certificates: readonly X509Certificate[];
  /** As Node spells it, `CERT_HAS_EXPIRED`; empty when the chain is good. */
  readonly code: string;
  /** The same, as OpenSSL's number. */
  readonly error: number;
}

export interface Judge {
  /** What is found first counts, as with BoringSSL; else OpenSSL looks on and tells the last of several problems. */
  readonly stopsAtFirstProblem: boolean;
  /** The CAs of a chain need no CRL. */
  readonly checksOnlyLeafCrl: boolean;
  /** Returns OpenSSL's number of what is wrong; `ChainError.None` lets the client pass. */
  judge(chain: PeerChain): number;
}

/** Clients of servers with this context are judged from now on. False: not in the handshake. */
export function judgeInHandshake(context: SecureContext, judge: Judge): boolean {
  openssl ??= open();
  const address = openssl === null ? 0n : addressOf(context);
  if (openssl === null || address === 0n) return false;
  openssl.ask(address, judge);
  keptJudges.set(context, judge);
  return true;
}

/** Peers get the certificates that were configured and no CA that OpenSSL, left alone, would add. False: it will. */
export function sendOnlyOwnChain(context: SecureContext): boolean {
  openssl ??= open();
  const address = openssl === null ? 0n : addressOf(context);
  if (openssl === null || address === 0n) return false;
  openssl.addNoIssuers(address);
  return true;
}

interface OpenSsl {
  ask(context: bigint, judge: Judge): void;
  addNoIssuers(context: bigint): void;
}

let openssl: OpenSsl | null | undefined;
/** A judge lives as long as its context. */
const keptJudges = new WeakMap<SecureContext, Judge>();

/** Of the `SSL_CTX`, which Node keeps for native addons; 0 when it does not show it. */
function addressOf({ context }: SecureContext): bigint {
  const digits = /^\[External: ([0-9a-f]+)\]$/.exec(inspect((context as { _external?: unknown })._external));
  return digits === null ? 0n : BigInt(`0x${digits[1]}`);
}

function open(): OpenSsl | null {
  const ffi = foreignFunctions();
  if (ffi === undefined) return null;
  const { lib, functions } = ffi.dlopen(null, {
    SSL_CTX_set_cert_verify_callback: { arguments: ['pointer', 'pointer', 'pointer'], return: 'void' },
    SSL_CTX_ctrl: { arguments: ['pointer', 'i32', 'i64', 'pointer'], return: 'i64' },
    // Any function that returns its first argument.
    abs: { arguments: ['i32'], return: 'i32' },
    X509_STORE_CTX_set_verify_cb: { arguments: ['pointer', 'pointer'], return: 'void' },
    X509_STORE_CTX_get0_param: { arguments: ['pointer'], return: 'pointer' },
    X509_VERIFY_PARAM_clear_flags: { arguments: ['pointer', 'u64'], return: 'i32' },
    X509_verify_cert: { arguments: ['pointer'], return: 'i32' },
    X509_STORE_CTX_get_error: { arguments: ['pointer'], return: 'i32' },
    X509_STORE_CTX_set_error: { arguments: ['pointer', 'i32'], return: 'void' },
    X509_STORE_CTX_get0_untrusted: { arguments: ['pointer'], return: 'pointer' },
    OPENSSL_sk_num: { arguments: ['pointer'], return: 'i32' },
    OPENSSL_sk_value: { arguments: ['pointer', 'i32'], return: 'pointer' },
    i2d_X509: { arguments: ['pointer', 'pointer'], return: 'i32' },
  });
  const judges = new Map<bigint, WeakRef<Judge>>();
  const forgotten = new FinalizationRegistry<bigint>((id) => judges.delete(id));
  let lastId = 0n;

  function certificate(x509: bigint): X509Certificate {
    const der = Buffer.alloc(functions.i2d_X509(x509, 0n));
    const target = Buffer.alloc(8);
    target.writeBigUInt64LE(ffi!.getRawPointer(der));
    functions.i2d_X509(x509, target);
    return new X509Certificate(der);
  }

  function verdict(store: bigint, id: bigint): number {
    const judge = judges.get(id)?.deref();
    if (judge === undefined) return ChainError.Other;
    if (judge.checksOnlyLeafCrl)
      functions.X509_VERIFY_PARAM_clear_flags(functions.X509_STORE_CTX_get0_param(store), crlCheckAll);
    // It is asked with 0 and a problem, or with 1, and what it returns is whether to look on. Node's says yes to everything.
    if (judge.stopsAtFirstProblem) functions.X509_STORE_CTX_set_verify_cb(store, functions.abs.pointer);
    const isGood = functions.X509_verify_cert(store) > 0;
    const error =
      functions.X509_STORE_CTX_get_error(store) || (isGood ? ChainError.None : ChainError.Unspecified);
    const sent = functions.X509_STORE_CTX_get0_untrusted(store);
    const certificates: X509Certificate[] = [];
    const count = functions.OPENSSL_sk_num(sent);
    for (let i = 0; i < count; i++) certificates.push(certificate(functions.OPENSSL_sk_value(sent, i)));
    return judge.judge({ certificates, code: codes[error] ?? 'UNSPECIFIED', error });
  }

  const callback = lib.registerCallback(
    { arguments: ['pointer', 'pointer'], return: 'i32' },
    (store, id): number => {
      let error: number = ChainError.Other;
      try {
        error = verdict(store as bigint, id as bigint);
      } catch {
        // Nobody may pass because something went wrong; nothing may be thrown into OpenSSL.
      }
      if (error === ChainError.None) return 1;
      functions.X509_STORE_CTX_set_error(store, error);
      return 0;
    },
  );

  return {
    addNoIssuers(context) {
      functions.SSL_CTX_ctrl(context, ctrlMode, noAutoChain, 0n);
    },
    ask(context, judge) {
      const id = ++lastId;
      judges.set(id, new WeakRef(judge));
      forgotten.register(judge, id);
      functions.SSL_CTX_set_cert_verify_callback(context, callback, id);
    },
  };
}

const crlCheckAll = 8n;
const ctrlMode = 33;
const noAutoChain = 8n;

/** Node's names of OpenSSL's numbers. */
const codes: readonly (string | undefined)[] = [
  '',
  undefined,
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_CRL',
  'UNABLE_TO_DECRYPT_CERT_SIGNATURE',
  'UNABLE_TO_DECRYPT_CRL_SIGNATURE',
  'UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY',
  'CERT_SIGNATURE_FAILURE',
  'CRL_SIGNATURE_FAILURE',
  'CERT_NOT_YET_VALID',
  'CERT_HAS_EXPIRED',
  'CRL_NOT_YET_VALID',
  'CRL_HAS_EXPIRED',
  'ERROR_IN_CERT_NOT_BEFORE_FIELD',
  'ERROR_IN_CERT_NOT_AFTER_FIELD',
  'ERROR_IN_CRL_LAST_UPDATE_FIELD',
  'ERROR_IN_CRL_NEXT_UPDATE_FIELD',
  'OUT_OF_MEM',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'CERT_CHAIN_TOO_LONG',
  'CERT_REVOKED',
  'INVALID_CA',
  'PATH_LENGTH_EXCEEDED',
  'INVALID_PURPOSE',
  'CERT_UNTRUSTED',
  'CERT_REJECTED',
];
