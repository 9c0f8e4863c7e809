import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mulberry32 } from '#testing/mulberry32.ts';
import { HeaderMap } from './header-map.ts';
import { HpackDecoder } from './hpack-decoder.ts';
import { HpackEncoder } from './hpack-encoder.ts';
import { decodeHuffman, encodeHuffman, huffmanLength } from './hpack-huffman.ts';

function decodeAll(decoder: HpackDecoder, block: Buffer): string[] | undefined {
  const fields: string[] = [];
  const ok = decoder.decode(block, 0, block.length, {
    onField: (name, value) => fields.push(`${name}: ${value}`),
  });
  return ok ? fields : undefined;
}

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');

// RFC 7541 appendix C: blocks of one connection, what they say, and the size of the table afterwards.
const requests = [
  [':method: GET', ':scheme: http', ':path: /', ':authority: www.example.com'],
  [':method: GET', ':scheme: http', ':path: /', ':authority: www.example.com', 'cache-control: no-cache'],
  [
    ':method: GET',
    ':scheme: https',
    ':path: /index.html',
    ':authority: www.example.com',
    'custom-key: custom-value',
  ],
];
const responses = [
  [
    ':status: 302',
    'cache-control: private',
    'date: Mon, 21 Oct 2013 20:13:21 GMT',
    'location: https://www.example.com',
  ],
  [
    ':status: 307',
    'cache-control: private',
    'date: Mon, 21 Oct 2013 20:13:21 GMT',
    'location: https://www.example.com',
  ],
  [
    ':status: 200',
    'cache-control: private',
    'date: Mon, 21 Oct 2013 20:13:22 GMT',
    'location: https://www.example.com',
    'content-encoding: gzip',
    'set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1',
  ],
];
const examples = [
  {
    name: 'C.2.1',
    tableLimit: 4096,
    blocks: ['400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572'],
    says: [['custom-key: custom-header']],
    sizes: [55],
  },
  {
    name: 'C.2.2',
    tableLimit: 4096,
    blocks: ['040c 2f73 616d 706c 652f 7061 7468'],
    says: [[':path: /sample/path']],
    sizes: [0],
  },
  {
    name: 'C.2.3',
    tableLimit: 4096,
    blocks: ['1008 7061 7373 776f 7264 0673 6563 7265 74'],
    says: [['password: secret']],
    sizes: [0],
  },
  { name: 'C.2.4', tableLimit: 4096, blocks: ['82'], says: [[':method: GET']], sizes: [0] },
  {
    name: 'C.3',
    tableLimit: 4096,
    blocks: [
      '8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d',
      '8286 84be 5808 6e6f 2d63 6163 6865',
      '8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65',
    ],
    says: requests,
    sizes: [57, 110, 164],
  },
  {
    name: 'C.4',
    tableLimit: 4096,
    blocks: [
      '8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff',
      '8286 84be 5886 a8eb 1064 9cbf',
      '8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf',
    ],
    says: requests,
    sizes: [57, 110, 164],
  },
  {
    name: 'C.5',
    tableLimit: 256,
    blocks: [
      '4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d',
      '4803 3330 37c1 c0bf',
      '88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31',
    ],
    says: responses,
    sizes: [222, 222, 215],
  },
  {
    name: 'C.6',
    tableLimit: 256,
    blocks: [
      '4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3',
      '4883 640e ffc1 c0bf',
      '88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07',
    ],
    says: responses,
    sizes: [222, 222, 215],
  },
];

for (const { name, tableLimit, blocks, says, sizes } of examples) {
  test(`decodes the example of RFC 7541 ${name}`, () => {
    const decoder = new HpackDecoder();
    decoder.setLimit(tableLimit);
    blocks.forEach((block, i) => {
      assert.deepEqual(decodeAll(decoder, hex(block)), says[i]);
      assert.equal(decoder.tableSize, sizes[i]);
    });
  });
}

const broken = [
  { name: 'index 0', block: '80' },
  { name: 'an index beyond the table', block: 'be' },
  { name: 'a name index beyond the table', block: '7e00' },
  { name: 'an integer that never ends', block: 'ffffffffffffffffffff' },
  { name: 'an integer cut short', block: 'ff' },
  { name: 'a string longer than the block', block: '000a61' },
  { name: 'a missing value', block: '0001 61' },
  { name: 'a size update after a field', block: '82 20' },
  { name: 'a size update above the limit', block: '3fe2 1f' },
  { name: 'the end-of-string symbol', block: '0084 ffff ffff 00' },
  { name: 'padding of eight bits', block: '0082 1fff 00' },
  { name: 'padding with zeros', block: '0081 18 00' },
];
for (const { name, block } of broken) {
  test(`refuses ${name}`, () => {
    assert.equal(decodeAll(new HpackDecoder(), hex(block)), undefined);
  });
}

test('Huffman: every byte goes there and back, and no cut end is taken for a whole', () => {
  const target = Buffer.alloc(64);
  const back = Buffer.alloc(64);
  for (let byte = 0; byte < 256; byte++) {
    const text = `${String.fromCharCode(byte)}a${String.fromCharCode(byte)}`;
    const end = encodeHuffman(text, target, 0);
    assert.equal(end, huffmanLength(text));
    assert.equal(decodeHuffman(target, 0, end, back), 3);
    assert.equal(back.toString('latin1', 0, 3), text);
  }
});

function random(seed: number): () => number {
  const next = mulberry32(seed);
  return () => next() / 2 ** 32;
}

test('what the encoder writes the decoder reads, whatever the table sizes do meanwhile', () => {
  const seed = Number(process.env.SEED ?? 1);
  const next = random(seed);
  const pick = <T>(from: readonly T[]): T => from[Math.floor(next() * from.length)]!;
  const text = (longest: number) =>
    String.fromCharCode(
      ...Array.from({ length: Math.floor(next() * longest) }, () => 33 + Math.floor(next() * 222)),
    );
  const names = [
    'accept',
    'cookie',
    'authorization',
    'x-request-id',
    'date',
    'content-length',
    'server',
    'etag',
  ];
  const values = ['', 'a', 'gzip, deflate', 'b'.repeat(300), 'c'.repeat(5000), 'text/html; charset=utf-8'];
  for (let connection = 0; connection < 20; connection++) {
    const limit = pick([0, 64, 256, 4096, 65536]);
    const encoder = new HpackEncoder(pick([4096, 65536, 100]));
    const decoder = new HpackDecoder();
    decoder.setLimit(Math.max(limit, 4096));
    encoder.setLimit(limit);
    for (let block = 0; block < 60; block++) {
      if (next() < 0.1)
        encoder.setLimit(pick([0, 64, 200, 4096].filter((size) => size <= Math.max(limit, 4096))));
      const headers = new HeaderMap();
      if (next() < 0.5) headers.status = pick([200, 204, 302, 404, 418, 503]);
      else {
        headers.method = pick(['GET', 'POST', 'PROPFIND']);
        headers.scheme = pick(['http', 'https']);
        headers.authority = pick(['a.example', 'b.example']);
        headers.path = `/${text(30)}`;
      }
      const expected: string[] = [];
      if (headers.status !== 0) expected.push(`:status: ${headers.status}`);
      else {
        expected.push(`:method: ${headers.method}`, `:scheme: ${headers.scheme}`);
        expected.push(`:authority: ${headers.authority}`, `:path: ${headers.path}`);
      }
      for (let i = Math.floor(next() * 12); i > 0; i--) {
        const name = next() < 0.8 ? pick(names) : `x-${text(20)}`;
        const value = next() < 0.7 ? pick(values) : text(80);
        headers.add(name, value);
        expected.push(`${name}: ${value}`);
      }
      const target = Buffer.alloc(encoder.bound(headers));
      const end = encoder.encode(headers, target, 0);
      assert.ok(end <= target.length);
      assert.deepEqual(decodeAll(decoder, target.subarray(0, end)), expected, `SEED=${seed}`);
      assert.equal(encoder.tableSize, decoder.tableSize, `SEED=${seed}`);
    }
  }
});

test('random bytes decode or are refused, and never read past their end', () => {
  const seed = Number(process.env.SEED ?? 1);
  const next = random(seed);
  const decoder = new HpackDecoder();
  for (let i = 0; i < 3000; i++) {
    const block = Buffer.from(
      Array.from({ length: Math.floor(next() * 40) }, () => Math.floor(next() * 256)),
    );
    decodeAll(decoder, block);
    assert.ok(decoder.tableSize <= 4096, `SEED=${seed}`);
  }
});

function wire(encoder: HpackEncoder, ...list: string[]): Buffer {
  const headers = new HeaderMap();
  headers.list.push(...list);
  const target = Buffer.alloc(encoder.bound(headers));
  return target.subarray(0, encoder.encode(headers, target, 0));
}

test('credentials and short cookies are never indexed', () => {
  const encoder = new HpackEncoder();
  assert.equal(wire(encoder, 'authorization', 'Basic abc')[0]! & 0xf0, 0x10);
  assert.equal(wire(encoder, 'cookie', 'a=b')[0]! & 0xf0, 0x10);
  assert.equal(encoder.tableSize, 0);
  assert.equal(wire(encoder, 'cookie', 'session=0123456789abcdef')[0]! & 0xc0, 0x40);
});

test('a value that is new every time does not push the others out', () => {
  const encoder = new HpackEncoder();
  wire(encoder, 'user-agent', 'curl');
  for (let i = 0; i < 1000; i++) wire(encoder, 'x-request-id', `request-${i}-${'0'.repeat(40)}`);
  assert.equal(wire(encoder, 'user-agent', 'curl').length, 1);
  // Once it repeats, it is worth a place again.
  wire(encoder, 'x-request-id', 'same');
  wire(encoder, 'x-request-id', 'same');
  assert.equal(wire(encoder, 'x-request-id', 'same').length, 1);
});

test('a lowered table size is announced, the lowest in between as well', () => {
  const encoder = new HpackEncoder();
  encoder.setLimit(0);
  encoder.setLimit(100);
  assert.equal(wire(encoder, 'accept', '').toString('hex'), '203f4593');
  assert.equal(wire(encoder, 'accept', '').toString('hex'), '93');
});
