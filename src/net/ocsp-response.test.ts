import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { certificatePath } from '#testing/certificates.ts';
import { mulberry32 } from '#testing/mulberry32.ts';
import { parseOcspResponse } from './ocsp-response.ts';

const response = readFileSync(certificatePath('server-rsa-ocsp.der'));

test('reads the serial number and the times of a response', () => {
  assert.deepEqual(parseOcspResponse(response), {
    serial: '11',
    thisUpdateMs: Date.UTC(2026, 10, 21, 15, 53, 46),
    nextUpdateMs: Date.UTC(2126, 9, 28, 15, 53, 46),
  });
});

test("says in Envoy's words what is wrong", () => {
  const rejected: readonly (readonly [Buffer, string])[] = [
    [Buffer.alloc(0), 'OCSP Response is not a well-formed ASN.1 SEQUENCE'],
    [Buffer.from('text'), 'Data contained more than a single OCSP response'],
    [response.subarray(0, 100), 'Data contained more than a single OCSP response'],
    [Buffer.concat([response, response]), 'Data contained more than a single OCSP response'],
    [Buffer.from('30030a0103', 'hex'), 'OCSP response was unsuccessful'],
    [Buffer.from('30030a0100', 'hex'), 'OCSP response has no body'],
    [Buffer.from('3003020100', 'hex'), 'OCSP ResponseStatus is not a well-formed ASN.1 ENUMERATED'],
  ];
  for (const [der, message] of rejected) assert.throws(() => parseOcspResponse(der), { message });
});

test('reads damaged responses or refuses them with an Error', () => {
  const random = mulberry32(20261121);
  for (let round = 0; round < 3000; round++) {
    const copy = Buffer.from(response);
    for (let i = 0; i < 4; i++) copy[random() % copy.length] = random() % 256;
    try {
      parseOcspResponse(copy);
    } catch (error) {
      assert.equal((error as Error).constructor, Error);
    }
  }
});
