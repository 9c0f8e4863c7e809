import assert from 'node:assert/strict';
import { BlockList, isIP } from 'node:net';
import { test } from 'node:test';
import {
  Cidr,
  CidrList,
  canonicalIp,
  ipBytes,
  ipOfAddress,
  ipVersion,
  maskedIp,
  portOfAddress,
} from './cidr.ts';

const valid = [
  '1.2.3.4',
  '0.0.0.0',
  '255.255.255.255',
  '::',
  '::1',
  '1::',
  '2001:db8::1',
  '1:2:3:4:5:6:7:8',
  '::ffff:1.2.3.4',
  '1:2:3:4:5:6:1.2.3.4',
  'FE80::A',
];
const invalid = [
  '',
  '1.2.3',
  '1.2.3.4.5',
  '256.1.1.1',
  '01.2.3.4',
  '1.2.3.4 ',
  ':',
  ':::',
  '1::2::3',
  '1:2:3:4:5:6:7',
  '1:2:3:4:5:6:7:8:9',
  '12345::',
  '1:2:3:4:5:6:7:1.2.3.4',
  '::1:',
  'g::',
  '1:2:3:4:5:6:7::8:9',
];

test('agrees with Node on what is an address', () => {
  for (const text of valid) assert.notEqual(ipVersion(text), 0, text);
  for (const text of invalid) assert.equal(ipVersion(text), 0, text);
  for (const text of [...valid, ...invalid]) assert.equal(ipVersion(text) !== 0, isIP(text) !== 0, text);
});

test('writes addresses canonically', () => {
  assert.equal(canonicalIp('2001:DB8:0:0:0:0:0:1'), '2001:db8::1');
  assert.equal(canonicalIp('0:0:1:0:0:0:0:0'), '0:0:1::');
  assert.equal(canonicalIp('::ffff:10.0.0.1'), '10.0.0.1');
  assert.equal(canonicalIp('1:0:2:3:4:5:6:7'), '1:0:2:3:4:5:6:7');
  assert.equal(canonicalIp('x'), undefined);
  assert.equal(maskedIp('10.1.2.3', 24), '10.1.2.0');
  assert.equal(maskedIp('2001:db8:1:2:3::', 48), '2001:db8:1::');
});

test('agrees with Node on what is in a range (seeded)', () => {
  let seed = 20261121;
  const random = (n: number) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return (seed >>> 4) % n;
  };
  const four = () => `${random(3)}.${random(4) * 64}.${random(256)}.${random(256)}`;
  const six = () => `200${random(2)}:${random(3) * 4096}::${random(65536).toString(16)}`;
  for (let i = 0; i < 3000; i++) {
    const isFour = random(2) === 0;
    const [base, ip] = isFour ? [four(), four()] : [six(), six()];
    const length = random(isFour ? 33 : 129);
    const list = new BlockList();
    list.addSubnet(base, length, isFour ? 'ipv4' : 'ipv6');
    assert.equal(
      Cidr.of(base, length)!.contains(ip),
      list.check(ip, isFour ? 'ipv4' : 'ipv6'),
      `${ip} in ${base}/${length}`,
    );
  }
});

test('keeps the families apart and finds mapped addresses', () => {
  const list = new CidrList([Cidr.parse('10.0.0.0/8')!, Cidr.parse('::1')!]);
  assert.deepEqual(
    ['10.9.9.9', '::ffff:10.0.0.1', '::1', '::2', '11.0.0.1', 'x'].map((ip) => list.contains(ip)),
    [true, true, true, false, false, false],
  );
  assert.equal(Cidr.parse('0.0.0.0/0')!.contains('::1'), false);
  assert.equal(Cidr.parse('10.1.2.3/8')!.toString(), '10.0.0.0/8');
  assert.equal(Cidr.parse('10.0.0.0/33'), undefined);
});

test('takes addresses apart', () => {
  assert.deepEqual(['1.2.3.4:80', '[::1]:80', '/run/x.sock', '1.2.3.4', '::1'].map(ipOfAddress), [
    '1.2.3.4',
    '::1',
    '/run/x.sock',
    '1.2.3.4',
    '::1',
  ]);
  assert.deepEqual(['1.2.3.4:80', '[::1]:443', '/run/x.sock', '::1'].map(portOfAddress), [80, 443, 0, 0]);
});

test('gives the bytes of an address', () => {
  assert.deepEqual([...ipBytes('10.0.255.1')], [10, 0, 255, 1]);
  assert.deepEqual([...ipBytes('2001:db8::1')], [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
  assert.deepEqual([...ipBytes('x')], []);
});
