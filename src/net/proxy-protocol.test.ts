import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProxyStatus, readProxyHeader, writeProxyHeader } from './proxy-protocol.ts';

const four = {
  sourceAddress: '10.0.0.1',
  sourcePort: 1234,
  destinationAddress: '10.0.0.2',
  destinationPort: 80,
};
const six = {
  sourceAddress: '2001:db8::1',
  sourcePort: 1,
  destinationAddress: '::1',
  destinationPort: 65535,
};
const tlvs = [
  { type: 0x01, value: Buffer.from('h2') },
  { type: 0xe0, value: Buffer.alloc(0) },
];

const headers = [
  { version: 1, isLocal: false, ...four, tlvs: [] },
  { version: 1, isLocal: false, ...six, tlvs: [] },
  { version: 2, isLocal: false, ...four, tlvs },
  { version: 2, isLocal: false, ...six, tlvs },
  {
    version: 2,
    isLocal: true,
    sourceAddress: '',
    sourcePort: 0,
    destinationAddress: '',
    destinationPort: 0,
    tlvs,
  },
] as const;

for (const header of headers) {
  test(`version ${header.version} from ${header.sourceAddress || 'nobody'} survives writing and reading at every cut`, () => {
    const bytes = writeProxyHeader(header);
    const input = Buffer.concat([bytes, Buffer.from('GET /')]);
    for (let cut = 0; cut < bytes.length; cut++) {
      assert.equal(readProxyHeader(input.subarray(0, cut)).status, ProxyStatus.NeedMore, `cut at ${cut}`);
    }
    const result = readProxyHeader(input);
    assert.equal(result.status, ProxyStatus.Done, result.problem ?? '');
    assert.equal(result.bytes, bytes.length);
    // Nobody's TLVs are not looked at.
    assert.deepEqual(result.header, header.isLocal ? { ...header, tlvs: [] } : header);
  });
}

test('writes the line of version 1', () => {
  assert.equal(writeProxyHeader(headers[0]).toString(), 'PROXY TCP4 10.0.0.1 10.0.0.2 1234 80\r\n');
});

test('maps IPv4 when the two addresses differ in family', () => {
  const bytes = writeProxyHeader({ ...headers[1], destinationAddress: '10.0.0.2' });
  assert.equal(bytes.toString(), 'PROXY TCP6 2001:db8::1 ::ffff:10.0.0.2 1 65535\r\n');
});

const others = [
  { name: 'a request without a header', text: 'GET / HTTP/1.1\r\n', status: ProxyStatus.Absent },
  { name: 'UNKNOWN', text: 'PROXY UNKNOWN ffff:f...f:ffff 1 2\r\n', status: ProxyStatus.Done },
  {
    name: 'a port out of range',
    text: 'PROXY TCP4 1.1.1.1 2.2.2.2 70000 80\r\n',
    status: ProxyStatus.Invalid,
  },
  {
    name: 'an address of the other family',
    text: 'PROXY TCP4 ::1 2.2.2.2 7 80\r\n',
    status: ProxyStatus.Invalid,
  },
  { name: 'a line without end', text: `PROXY TCP4 ${'1'.repeat(110)}`, status: ProxyStatus.Endless },
  { name: 'another protocol', text: 'PROXY UDP4 1.1.1.1 2.2.2.2 1 2\r\n', status: ProxyStatus.Invalid },
];

for (const { name, text, status } of others) {
  test(`judges ${name}`, () => {
    assert.equal(readProxyHeader(Buffer.from(text)).status, status);
  });
}

test('refuses a TLV that is longer than its header', () => {
  const bytes = writeProxyHeader(headers[2]);
  bytes.writeUInt16BE(200, 16 + 12 + 1);
  assert.deepEqual(readProxyHeader(bytes).problem, 'TLV longer than the header');
});
