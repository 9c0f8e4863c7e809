import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readProxyHeader } from '#net/proxy-protocol.ts';
import { ProxyHeaderWriter, type ProxyProtocolData } from './proxy-protocol-config.ts';

const none = { all: false, types: [] };
const own = { remote: '10.0.0.1:1', local: '10.0.0.2:2', tlvs: [] };

function written(data: Partial<ProxyProtocolData>, remote: string, tlvs: readonly [number, string][] = []) {
  let tooLong = 0;
  const writer = new ProxyHeaderWriter({ version: 2, passThrough: none, addedTlvs: [], ...data }, () => {
    tooLong++;
  });
  const connection =
    remote === ''
      ? undefined
      : {
          remote,
          local: '192.0.2.2:80',
          tlvs: tlvs.map(([type, value]) => ({ type, value: Buffer.from(value) })),
        };
  const header = readProxyHeader(writer.write(connection, own)).header!;
  return { header, tlvs: header.tlvs.map(({ type, value }) => [type, String(value)]), tooLong };
}

test('what has no client is LOCAL, in version 1 our own connection', () => {
  assert.equal(written({}, '').header.isLocal, true);
  assert.equal(written({ version: 1 }, '').header.sourceAddress, '10.0.0.1');
});

test('a client without an IP address has none in the header', () => {
  assert.equal(written({}, '/run/client').header.isLocal, true);
  assert.equal(written({ version: 1 }, '/run/client').header.isLocal, true);
});

test('adds TLVs before those that go on, which they replace', () => {
  const addedTlvs = [{ type: 2, value: 'own', format: undefined }];
  const clients: [number, string][] = [
    [1, 'one'],
    [2, 'two'],
    [3, 'three'],
  ];
  assert.deepEqual(
    written({ addedTlvs, passThrough: { all: true, types: [] } }, '192.0.2.1:5', clients).tlvs,
    [
      [2, 'own'],
      [1, 'one'],
      [3, 'three'],
    ],
  );
  assert.deepEqual(written({ passThrough: { all: false, types: [3] } }, '192.0.2.1:5', clients).tlvs, [
    [3, 'three'],
  ]);
});

test('leaves TLVs out that do not fit, and says so', () => {
  const value = 'x'.repeat(40_000);
  const { tlvs, tooLong } = written({ passThrough: { all: true, types: [] } }, '192.0.2.1:5', [
    [1, value],
    [2, value],
    [3, 'short'],
  ]);
  assert.deepEqual(
    tlvs.map(([type]) => type),
    [1, 3],
  );
  assert.equal(tooLong, 1);
});
