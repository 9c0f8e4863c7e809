// gRPC through the proxy, with @grpc/grpc-js on both sides: unary, streams of every kind, deadlines, cancellation, large messages.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import {
  Client,
  credentials,
  type Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceError,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import { forwardingYaml, portsFor, proxyMissing, startBlackBox } from './black-box.ts';

const bytes = { serialize: (it: Buffer) => it, deserialize: (it: Buffer) => it };
const method = (name: string, requestStream: boolean, responseStream: boolean) => ({
  path: `/test.Echo/${name}`,
  requestStream,
  responseStream,
  requestSerialize: bytes.serialize,
  requestDeserialize: bytes.deserialize,
  responseSerialize: bytes.serialize,
  responseDeserialize: bytes.deserialize,
});
const service = {
  unary: method('Unary', false, false),
  collect: method('Collect', true, false),
  repeat: method('Repeat', false, true),
  chat: method('Chat', true, true),
  hang: method('Hang', false, true),
};

const options = { 'grpc.max_receive_message_length': 1 << 25, 'grpc.max_send_message_length': 1 << 25 };

interface Fixture {
  readonly client: Client;
  /** Settles when the upstream saw a call to Hang cancelled. */
  readonly cancelled: Promise<void>;
}

async function echoThroughProxy(t: TestContext): Promise<Fixture> {
  const { yaml, port } = await portsFor(forwardingYaml({ http2Upstream: true }));
  let markCancelled = () => {};
  const cancelled = new Promise<void>((resolve) => {
    markCancelled = resolve;
  });
  const server = new Server(options);
  server.addService(service, {
    unary: (call: ServerUnaryCall<Buffer, Buffer>, reply: sendUnaryData<Buffer>) => {
      if (String(call.request) === 'fail') {
        call.metadata.set('x-detail', 'why');
        reply({ code: status.FAILED_PRECONDITION, details: 'not now: 100%', metadata: call.metadata });
      } else reply(null, call.request);
    },
    collect: (call: ServerReadableStream<Buffer, Buffer>, reply: sendUnaryData<Buffer>) => {
      let total = 0;
      call.on('data', (it: Buffer) => {
        total += it.length;
      });
      call.on('end', () => reply(null, Buffer.from(String(total))));
    },
    repeat: (call: ServerWritableStream<Buffer, Buffer>) => {
      for (let i = 0; i < 100; i++) call.write(Buffer.from(`${i}`));
      call.end();
    },
    chat: (call: ServerDuplexStream<Buffer, Buffer>) => {
      call.on('data', (it: Buffer) => call.write(it));
      call.on('end', () => call.end());
    },
    hang: (call: ServerWritableStream<Buffer, Buffer>) => {
      call.write(Buffer.from('started'));
      call.on('cancelled', markCancelled);
    },
  });
  await new Promise<void>((resolve, reject) =>
    server.bindAsync(`127.0.0.1:${port(21201)}`, ServerCredentials.createInsecure(), (error) =>
      error ? reject(error) : resolve(),
    ),
  );
  t.after(() => server.forceShutdown());
  await startBlackBox(t, yaml, { admin: port(21001), listener: port(21000) });
  const client = new Client(`127.0.0.1:${port(21000)}`, credentials.createInsecure(), options);
  t.after(() => client.close());
  return { client, cancelled };
}

function unary(
  client: Client,
  request: Buffer,
  deadlineMs = 20_000,
  path = service.unary.path,
): Promise<Buffer> {
  return new Promise((resolve, reject) =>
    client.makeUnaryRequest(
      path,
      bytes.serialize,
      bytes.deserialize,
      request,
      { deadline: Date.now() + deadlineMs },
      (error, reply) => (error ? reject(error) : resolve(reply!)),
    ),
  );
}

const grpc = (name: string, run: (fixture: Fixture) => Promise<void>) =>
  test(`gRPC: ${name}`, { skip: proxyMissing, timeout: 60_000 }, async (t) => run(await echoThroughProxy(t)));

grpc('unary calls, one and many at a time', async ({ client }) => {
  assert.equal(String(await unary(client, Buffer.from('one'))), 'one');
  const replies = await Promise.all(
    Array.from({ length: 100 }, (_, i) => unary(client, Buffer.from(`${i}`))),
  );
  assert.deepEqual(
    replies.map(String),
    Array.from({ length: 100 }, (_, i) => `${i}`),
  );
});

grpc('a failure keeps its status, message and trailers', async ({ client }) => {
  await assert.rejects(unary(client, Buffer.from('fail')), (error: ServiceError) => {
    assert.equal(error.code, status.FAILED_PRECONDITION);
    assert.equal(error.details, 'not now: 100%');
    assert.deepEqual((error.metadata as Metadata).get('x-detail'), ['why']);
    return true;
  });
});

grpc("an unknown method is the upstream's to refuse", async ({ client }) => {
  await assert.rejects(unary(client, Buffer.from('x'), 20_000, '/test.Echo/None'), {
    code: status.UNIMPLEMENTED,
  });
});

grpc('messages of 8 MiB', async ({ client }) => {
  const large = Buffer.alloc(8 << 20, 7);
  assert.ok((await unary(client, large)).equals(large));
});

grpc('a stream of requests', async ({ client }) => {
  const reply = new Promise<Buffer>((resolve, reject) => {
    const call = client.makeClientStreamRequest(
      service.collect.path,
      bytes.serialize,
      bytes.deserialize,
      (error, it) => (error ? reject(error) : resolve(it as Buffer)),
    );
    for (let i = 0; i < 200; i++) call.write(Buffer.alloc(1000));
    call.end();
  });
  assert.equal(String(await reply), '200000');
});

grpc('a stream of replies', async ({ client }) => {
  const call = client.makeServerStreamRequest(
    service.repeat.path,
    bytes.serialize,
    bytes.deserialize,
    Buffer.from('x'),
  );
  const received: string[] = [];
  for await (const it of call) received.push(String(it));
  assert.deepEqual(
    received,
    Array.from({ length: 100 }, (_, i) => `${i}`),
  );
});

grpc('both streams at once, in turns', async ({ client }) => {
  const call = client.makeBidiStreamRequest(service.chat.path, bytes.serialize, bytes.deserialize);
  for (let i = 0; i < 20; i++) {
    call.write(Buffer.from(`turn ${i}`));
    const [reply] = (await once(call, 'data')) as [Buffer];
    assert.equal(String(reply), `turn ${i}`);
  }
  call.end();
  call.resume();
  const [end] = (await once(call, 'status')) as [{ code: number }];
  assert.equal(end.code, status.OK);
});

grpc('a deadline ends the call', async ({ client }) => {
  const call = client.makeServerStreamRequest(
    service.hang.path,
    bytes.serialize,
    bytes.deserialize,
    Buffer.from('x'),
    {
      deadline: Date.now() + 500,
    },
  );
  call.resume();
  await assert.rejects(once(call, 'end'), { code: status.DEADLINE_EXCEEDED });
});

grpc('a cancelled call is cancelled at the upstream', async ({ client, cancelled }) => {
  const call = client.makeServerStreamRequest(
    service.hang.path,
    bytes.serialize,
    bytes.deserialize,
    Buffer.from('x'),
  );
  call.on('error', () => {});
  await once(call, 'data');
  call.cancel();
  await cancelled;
  assert.equal(String(await unary(client, Buffer.from('still there'))), 'still there');
});
