// A gRPC server of one unary method that keeps what it was asked, for filters that call services.
import type { TestContext } from 'node:test';
import {
  Metadata,
  Server,
  ServerCredentials,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServiceDefinition,
  type sendUnaryData,
} from '@grpc/grpc-js';
import { decodeMessage, encodeMessage } from '#schema/binary.ts';
import { toJson } from '#schema/json.ts';
import type { InitTypes, MessageTypes } from '#schema/messages/type-map.ts';
import { message } from '#schema/registry.ts';

export interface RecordedCall {
  readonly host: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** In the form of JSON, with proto names. */
  readonly request: unknown;
}

/** What is answered: a message, a status that is not OK, or nothing at all. */
export type GrpcAnswer<Response extends keyof InitTypes> =
  | { readonly message: InitTypes[Response] }
  | { readonly bytes: Uint8Array }
  | { readonly status: number; readonly details?: string }
  | 'never';

export class GrpcRecorder<
  Request extends keyof MessageTypes,
  Response extends keyof MessageTypes & keyof InitTypes,
> {
  readonly calls: RecordedCall[] = [];
  readonly #server = new Server();
  #onCall = () => {};
  readonly #cancelled = Promise.withResolvers<void>();
  port = 0;

  /** `answer`: by the metadata of the call. Without it the method takes a stream of messages, which never gets an answer. */
  constructor(
    path: string,
    request: Request,
    response: Response,
    answer?: (
      metadata: Readonly<Record<string, string>>,
      call: RecordedCall,
    ) => GrpcAnswer<Response> | Promise<GrpcAnswer<Response>>,
  ) {
    const record = (metadata: Metadata, host: string, bytes: Buffer): RecordedCall => {
      const type = message(request) as never;
      const recorded: RecordedCall = {
        host,
        metadata: Object.fromEntries(
          Object.keys(metadata.getMap())
            .sort()
            .map((key) => [key, metadata.get(key).join(',')]),
        ),
        request: toJson(type, decodeMessage(type, bytes)),
      };
      this.calls.push(recorded);
      this.#onCall();
      return recorded;
    };
    this.#server.addService(service(path, answer === undefined), {
      method:
        answer === undefined
          ? (call: ServerReadableStream<Buffer, Buffer>) => {
              call.on('data', (bytes: Buffer) => record(call.metadata, call.getHost(), bytes));
              call.on('error', () => {});
            }
          : async (call: ServerUnaryCall<Buffer, Buffer>, reply: sendUnaryData<Buffer>) => {
              call.on('cancelled', () => this.#cancelled.resolve());
              const recorded = record(call.metadata, call.getHost(), call.request);
              const given = await answer(recorded.metadata, recorded);
              if (given === 'never') return;
              if ('status' in given)
                reply({ code: given.status, details: given.details ?? '', metadata: new Metadata() });
              else if ('bytes' in given) reply(null, Buffer.from(given.bytes));
              else
                reply(null, Buffer.from(encodeMessage(message(response) as never, given.message as object)));
            },
    });
  }

  /** Resolves once a call was cancelled. */
  untilCancelled(): Promise<void> {
    return this.#cancelled.promise;
  }

  /** Resolves once there were so many calls. */
  async untilCalled(times: number): Promise<void> {
    while (this.calls.length < times)
      await new Promise<void>((resolve) => {
        this.#onCall = resolve;
      });
  }

  async start(t: TestContext): Promise<this> {
    this.port = await new Promise<number>((resolve, reject) =>
      this.#server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
        error ? reject(error) : resolve(port),
      ),
    );
    t.after(() => this.#server.forceShutdown());
    return this;
  }
}

function service(path: string, requestStream: boolean): ServiceDefinition {
  const asIs = (it: Buffer) => it;
  return {
    method: {
      path,
      requestStream,
      responseStream: false,
      requestSerialize: asIs,
      requestDeserialize: asIs,
      responseSerialize: asIs,
      responseDeserialize: asIs,
    },
  };
}
