// `chancery demo`: the front-proxy example with the two upstreams it needs, until it is interrupted.
import { spawn } from 'node:child_process';
import { createServer, get, type Server } from 'node:http';
import { fileURLToPath } from 'node:url';

const upstreams = [
  { host: '127.0.0.11', text: 'v1\n' },
  { host: '127.0.0.12', text: 'v2\n' },
];
const upstreamPort = 9000;
const adminUrl = 'http://127.0.0.1:8001/ready';

export async function run(args: readonly string[]): Promise<number> {
  if (args.length > 0) {
    process.stderr.write('usage: chancery demo\n');
    return args[0] === '--help' || args[0] === '-h' ? 0 : 1;
  }
  const servers: Server[] = [];
  const closeAll = () => {
    for (const server of servers) {
      server.close();
      server.closeAllConnections();
    }
  };
  try {
    for (const { host, text } of upstreams) servers.push(await serve(host, text));
  } catch (error) {
    closeAll();
    process.stderr.write(
      `error: the example's upstreams need port ${upstreamPort} of 127.0.0.11 and 127.0.0.12: ${(error as Error).message}\n`,
    );
    return 1;
  }

  const root = new URL('../../', import.meta.url);
  const example = new URL('examples/front-proxy/', root);
  const proxy = spawn(
    process.execPath,
    [
      fileURLToPath(new URL('main.ts', import.meta.url)),
      'proxy',
      '-l',
      'warning',
      '-c',
      fileURLToPath(new URL('envoy.yaml', example)),
    ],
    {
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, CARES_HOSTS: fileURLToPath(new URL('hosts', example)) },
    },
  );
  // The terminal sends an interrupt to the whole group; a supervisor only to us.
  const stop = () => proxy.kill('SIGTERM');
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  const poll = setInterval(() => {
    get(adminUrl, (response) => {
      response.resume();
      if (response.statusCode !== 200) return;
      clearInterval(poll);
      process.stdout.write(welcome);
    }).on('error', () => {}); // Not up yet: the next poll asks again.
  }, 50);

  const code = await new Promise<number>((resolve) =>
    proxy.on('exit', (status, signal) => resolve(status ?? (signal ? 1 : 0))),
  );
  clearInterval(poll);
  closeAll();
  return code;
}

const welcome = `
The front proxy is up: TLS on port 8000, two upstreams behind it, admin interface on port 8001.

  curl -k https://localhost:8000/version
  curl http://localhost:8001/clusters
  curl 'http://localhost:8001/stats?filter=http.ingress_http&usedonly'

Its configuration is examples/front-proxy/envoy.yaml. Ctrl-C ends it.
`;

function serve(host: string, text: string): Promise<Server> {
  const server = createServer((_request, response) => {
    response.writeHead(200, { 'content-type': 'text/plain', 'content-length': text.length });
    response.end(text);
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(upstreamPort, host, () => resolve(server));
  });
}
