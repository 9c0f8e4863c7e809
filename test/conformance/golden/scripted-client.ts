// A client that does on the wire what a recorded step says, on a connection of its own.
import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RecordedStep } from './recorded-case.ts';
import { lengthened } from './scripted-upstream.ts';

export interface StepOutcome {
  /** Latin-1. */
  readonly response: string;
  readonly connectionAfter: 'open' | 'closed' | 'reset' | 'refused' | 'client-closed' | 'client-reset';
}

export async function playStep(step: RecordedStep, idleSeconds: number): Promise<StepOutcome> {
  const socket = connect({
    host: '127.0.0.1',
    port: step.port,
    allowHalfOpen: true,
    noDelay: true,
    ...(step.source_address === undefined ? {} : { localAddress: step.source_address }),
  });
  const received: Buffer[] = [];
  let state = 'open' as StepOutcome['connectionAfter'];
  let wake = () => {};
  socket.on('data', (chunk: Buffer) => {
    received.push(chunk);
    wake();
  });
  socket.on('end', () => {
    if (state === 'open') state = 'closed';
    wake();
  });
  socket.on('error', (error: NodeJS.ErrnoException) => {
    state = error.code === 'ECONNREFUSED' ? 'refused' : 'reset';
    wake();
  });
  await Promise.race([once(socket, 'connect').catch(() => {}), once(socket, 'close').catch(() => {})]);

  /** Waits until something happened or the time is over. */
  const event = (ms: number) =>
    new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });

  for (const action of step.actions) {
    if (socket.destroyed && action[0] !== 'sleep') break;
    if (action[0] === 'send') socket.write(action[1], 'latin1');
    else if (action[0] === 'send-long') socket.write(lengthened(action[1], action[2]), 'latin1');
    else if (action[0] === 'sleep') await sleep(action[1] * 1000);
    else if (action[0] === 'fin') socket.end();
    else if (action[0] === 'close') {
      state = 'client-closed';
      socket.destroy();
    } else if (action[0] === 'rst') {
      state = 'client-reset';
      socket.resetAndDestroy();
    }
    if (action[0] === 'recv') {
      const until = performance.now() + action[1] * 1000;
      const idleMs = (action[2] ?? idleSeconds) * 1000;
      let chunks = received.length;
      let quietAt = until;
      while (state === 'open') {
        const now = performance.now();
        const left = Math.min(until, quietAt) - now;
        if (left <= 0) break;
        await event(left);
        if (received.length > chunks) {
          chunks = received.length;
          quietAt = performance.now() + idleMs;
        }
      }
    }
  }
  // A reset that follows a FIN at once is what an observer reports.
  if (state === 'closed') await event(20);
  const outcome = { response: Buffer.concat(received).toString('latin1'), connectionAfter: state };
  socket.destroy();
  return outcome;
}
