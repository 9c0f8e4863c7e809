/** By reset reason, as Envoy writes it into bodies and details. */
export const resetTexts: readonly string[] = [
  'unknown',
  'local reset',
  'local refused stream reset',
  'remote reset',
  'remote refused stream reset',
  'local connection failure',
  'remote connection failure',
  'connection timeout',
  'connection termination',
  'overflow',
  'remote error with CONNECT request',
  'protocol error',
  'overload manager reset',
  'remote reset',
];
