// What the upstreams of some recordings do depending on the path. steps.json has scripts by number only; case.md says these in words.
import { STATUS_CODES } from 'node:http';
import type { RecordedCase, RecordedUpstream, UpstreamAction } from './recorded-case.ts';

type PathScript = (path: string, upstream: string) => readonly UpstreamAction[] | undefined;

const slowAndStall: PathScript = (path) => {
  if (path.startsWith('/slow')) return [['sleep', 1], ['name']];
  if (path.startsWith('/stall'))
    return [['send', 'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhe'], ['stall']];
  return undefined;
};

const redirect = (location: string): readonly UpstreamAction[] => [
  ['send', `HTTP/1.1 302 Found\r\nlocation: ${location}\r\ncontent-length: 0\r\n\r\n`],
];

const byCase: Record<string, PathScript> = {
  '08-http/http-1.0-accepted': (path) =>
    path.startsWith('/ch')
      ? [['send', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n']]
      : undefined,
  '08-http/internal-redirect': (path) => {
    if (path.startsWith('/start')) return redirect('http://example.com/final?y=1');
    if (path.startsWith('/loop')) return redirect('http://example.com/loop');
    return path.startsWith('/cross') ? redirect('https://example.com/final') : undefined;
  },
  '08-http/health-check-http': (path, upstream) => {
    const degraded = upstream === 'degraded' ? 'x-envoy-degraded: true\r\n' : '';
    return path === '/hc' ? [['send', `HTTP/1.1 200 OK\r\n${degraded}content-length: 0\r\n\r\n`]] : undefined;
  },
  '08-http/retry-on-conditions': (path) => {
    if (path.endsWith('/reset')) return [['rst']];
    const status = /\/(\d+)$/.exec(path)?.[1];
    const extra =
      status === '418' ? 'x-retry: 1\r\n' : status === '429' ? 'x-envoy-ratelimited: true\r\n' : '';
    return status
      ? [
          [
            'send',
            `HTTP/1.1 ${status} ${status === '429' ? 'OK' : STATUS_CODES[status]}\r\n${extra}content-length: 3\r\n\r\nbad`,
          ],
        ]
      : undefined;
  },
  '08-http/upstream-close-mid-body': (path) => {
    const end: UpstreamAction = path.startsWith('/rst') ? ['rst'] : ['close'];
    const head = path.startsWith('/chunked')
      ? 'transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n'
      : 'content-length: 10\r\n\r\nhello';
    return [['send', `HTTP/1.1 200 OK\r\n${head}`], ['sleep', 0.1], end];
  },
  '09-tcp-proxy': (path) => {
    if (path.startsWith('/close')) return [['send', 'partial'], ['sleep', 0.1], ['close']];
    if (path.startsWith('/rst')) return [['send', 'partial'], ['sleep', 0.1], ['rst']];
    return undefined;
  },
};

/** The actions for the n-th request of an upstream. */
export function upstreamScript(
  recorded: RecordedCase,
  upstream: RecordedUpstream,
): (request: string, n: number) => readonly UpstreamAction[] {
  const byPath =
    byCase[recorded.name] ?? (recorded.name.startsWith('08-http/hcm-') ? slowAndStall : undefined);
  const numbered = upstream.script;
  return (request, n) => {
    const path = request.split(' ')[1] ?? '/';
    if (numbered) return numbered[Math.min(n, numbered.length) - 1]!;
    return byPath?.(path, upstream.name ?? 'up') ?? [['name']];
  };
}
