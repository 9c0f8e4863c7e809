import assert from 'node:assert/strict';
import { test } from 'node:test';
import { refusedHelloText, tlsErrorReason, tlsErrorText } from './tls-error.ts';

const failed = (reason: string) => Object.assign(new Error(reason), { code: 'ERR_SSL_X', reason });

const alerts = [
  [
    'ssl/tls alert handshake failure',
    '|268436496:SSL routines:OPENSSL_internal:SSLV3_ALERT_HANDSHAKE_FAILURE',
  ],
  ['sslv3 alert bad certificate', '|268436498:SSL routines:OPENSSL_internal:SSLV3_ALERT_BAD_CERTIFICATE'],
  ['tlsv1 alert unknown ca', '|268436504:SSL routines:OPENSSL_internal:TLSV1_ALERT_UNKNOWN_CA'],
  ['tlsv1 unrecognized name', '|268436568:SSL routines:OPENSSL_internal:TLSV1_ALERT_UNRECOGNIZED_NAME'],
  [
    'tlsv13 alert certificate required',
    '|268436572:SSL routines:OPENSSL_internal:TLSV1_ALERT_CERTIFICATE_REQUIRED',
  ],
  ['wrong version number', '|268435703:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER'],
] as const;

for (const [reason, text] of alerts) {
  test(`names "${reason}" as BoringSSL does`, () => {
    assert.equal(tlsErrorText(tlsErrorReason(failed(reason))!), `TLS_error:${text}:TLS_error_end`);
  });
}

test('a ClientHello that is refused has two errors', () => {
  assert.equal(
    refusedHelloText(),
    'TLS_error:|268436496:SSL routines:OPENSSL_internal:SSLV3_ALERT_HANDSHAKE_FAILURE|268435610:SSL routines:OPENSSL_internal:HANDSHAKE_FAILURE_ON_CLIENT_HELLO:TLS_error_end',
  );
});

test('errors of the socket are none of TLS', () => {
  assert.equal(tlsErrorReason(Object.assign(new Error('read'), { code: 'ECONNRESET' })), undefined);
});
