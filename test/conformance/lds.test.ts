// LDS by file, the same changes through Envoy and through us: what is listened on, what `/config_dump` and the statistics say, what is logged.
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { missing } from '#testing/peers.ts';
import { expectSame, normalized, type Side } from './side-by-side.ts';

const skip = missing('envoy');
const tcp = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } });

function manager(statPrefix: string, body: string, route: object = {}): object {
  return {
    name: 'envoy.filters.network.http_connection_manager',
    typed_config: {
      '@type':
        'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
      stat_prefix: statPrefix,
      route_config: {
        name: 'r',
        virtual_hosts: [
          {
            name: 'v',
            domains: ['*'],
            routes: [
              {
                match: { prefix: '/' },
                direct_response: { status: 200, body: { inline_string: body } },
                ...route,
              },
            ],
          },
        ],
      },
      http_filters: [
        {
          name: 'envoy.filters.http.router',
          typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
        },
      ],
    },
  };
}

const chain = (statPrefix: string, body: string, more: object = {}) => ({
  filters: [manager(statPrefix, body)],
  ...more,
});

function listener(name: string, port: number, chains: readonly object[], more: object = {}): object {
  return {
    '@type': 'type.googleapis.com/envoy.config.listener.v3.Listener',
    name,
    address: tcp(port),
    filter_chains: chains,
    ...more,
  };
}

const lds = (version: string, ...resources: readonly object[]) =>
  JSON.stringify({ version_info: version, resources });

const bootstrap = JSON.stringify({
  node: { id: 'n', cluster: 'c' },
  admin: { address: tcp(21001) },
  dynamic_resources: {
    lds_config: { resource_api_version: 'V3', path_config_source: { path: './lds.yaml' } },
  },
  static_resources: {
    listeners: [{ name: 'fixed', address: tcp(21003), filter_chains: [chain('fixed', 'fixed')] }],
  },
});

/** Several requests on one connection; empty when it is closed. */
class Client {
  readonly #socket;
  #text = '';
  #wake = () => {};
  #isClosed = false;

  constructor(port: number) {
    this.#socket = connect(port, '127.0.0.1').setEncoding('latin1');
    this.#socket.on('data', (text: string) => {
      this.#text += text;
      this.#wake();
    });
    this.#socket.on('error', () => {});
    this.#socket.on('close', () => {
      this.#isClosed = true;
      this.#wake();
    });
  }

  async get(): Promise<string> {
    if (!this.#isClosed) this.#socket.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
    return this.rest();
  }

  /** What comes without having been asked for. */
  async rest(): Promise<string> {
    while (!this.#isClosed && !/\r\n\r\n./s.test(this.#text))
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    const [head = '', body = ''] = this.#text.split('\r\n\r\n');
    this.#text = '';
    return head.includes('connection: close') ? `${body}, closing` : body;
  }

  close(): void {
    this.#socket.destroy();
  }
}

async function get(port: number): Promise<string> {
  const client = new Client(port);
  const answer = await client.get();
  client.close();
  return answer;
}

async function isOpen(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  const open = await once(socket, 'connect').then(
    () => true,
    () => false,
  );
  socket.destroy();
  return open;
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await sleep(10);
}

async function counted(side: Side, stats: string): Promise<number> {
  const lines = await side.stats(`^listener_manager.(${stats})$`);
  return lines.reduce((sum, line) => sum + Number(line.split(': ')[1]), 0);
}

/** Moves a file into place and waits until it was looked at. */
async function put(side: Side, text: string): Promise<void> {
  const looked = 'lds.update_(success|rejected|failure)';
  const before = await counted(side, looked);
  side.put('lds.yaml', text);
  await until(async () => (await counted(side, looked)) > before);
}

/** What the pages say, without times and ports, and listeners by name. */
async function pages(side: Side): Promise<unknown> {
  const dump = JSON.parse((await side.proxy.admin('/config_dump')).body);
  const { version_info, dynamic_listeners = [] } = dump.configs.find((it: { '@type': string }) =>
    it['@type'].endsWith('.ListenersConfigDump'),
  );
  const brief = normalized(dynamic_listeners, (text, key) => {
    if (key === 'last_updated' || key === 'last_update_attempt') return '<time>';
    if (key === 'details') return words(text);
    return key === 'port_value' || /^[0-9a-f-]{36}$/.test(text) ? '<any>' : text;
  }) as { name?: string }[];
  return {
    version_info,
    dynamic: brief.sort((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b))),
    listeners: (await side.proxy.admin('/listeners')).body
      .split('\n')
      .map((it) => it.replace(/:\d+$/, '').replace(/^[0-9a-f-]{36}/, '<any>')),
    stats: (await side.stats('^listener_manager')).filter(
      (it) => !/update_(time|duration)|create_success/.test(it),
    ),
  };
}

/** Without the text form of the message that Envoy puts before some of its words, and without ports. */
function words(text: string): string {
  return text
    .replace(/goo\.gle\/debug\w+[\s\S]*?\n: (?=Proto)/g, '')
    .replace(/127\.0\.0\.1:\d+/g, '127.0.0.1:<port>');
}

const local = {
  filter_chain_match: { direct_source_prefix_ranges: [{ address_prefix: '127.0.0.1', prefix_len: 32 }] },
};
const metadata = { metadata: { filter_metadata: { x: { y: 1 } } } };

test('filter chains change in place, listeners are replaced and removed', { skip }, async (t) => {
  const one = (a: string, more: object = {}) =>
    listener('l1', 21000, [chain('a', a, { name: 'A', ...local }), chain('b', 'b', { name: 'B' })], more);
  const two = listener('l2', 21002, [chain('two', 'two')]);
  await expectSame(
    t,
    bootstrap,
    async (side) => {
      const seen: unknown[] = [await pages(side)];
      const onOne = new Client(side.port(21000));
      const onTwo = new Client(side.port(21002));
      seen.push(await onOne.get(), await onTwo.get());

      await put(side, lds('2', one('changed'), two));
      await until(async () => (await get(side.port(21000))) === 'changed');
      seen.push('in place', await pages(side), await onOne.get());
      seen.push(await onOne.rest());
      await until(async () => (await counted(side, 'total_filter_chains_draining')) === 0);

      const again = new Client(side.port(21000));
      seen.push(await again.get());
      await put(side, lds('3', one('changed', metadata), two));
      seen.push('replaced', await pages(side), await again.get());
      seen.push(await again.rest());
      await until(async () => (await counted(side, 'total_listeners_draining')) === 0);

      await put(side, lds('4', one('changed', metadata)));
      await until(async () => !(await isOpen(side.port(21002))));
      seen.push('removed', await pages(side), await onTwo.get(), await onTwo.rest());
      await until(async () => (await counted(side, 'total_listeners_draining')) === 0);
      const left = await side.stats(
        `^listener\\.127.*downstream_cx_total|^http.two|^http.a.downstream_cx_total`,
      );
      seen.push(left.map((it) => it.replace(/127\.0\.0\.1_\d+/, '<address>')).sort(), await pages(side));
      const log = side.proxy.output.split('\n').filter((it) => it.includes('lds: '));
      seen.push(log.map((it) => it.slice(it.indexOf('lds: '))));
      for (const it of [onOne, onTwo, again]) it.close();
      return seen;
    },
    {
      files: { 'lds.yaml': lds('1', one('a'), two) },
      logLevel: 'info',
      drainSeconds: 2,
      drainsImmediately: true,
    },
  );
});

test('what is wrong with a response, or with one listener', { skip }, async (t) => {
  const good = listener('l1', 21000, [chain('a', 'a')]);
  const responses: Record<string, string> = {
    'a static name': lds('2', good, listener('fixed', 21002, [chain('a', 'a')])),
    'two bad, one good': lds(
      '3',
      good,
      listener('x1', 21002, [chain('', 'a')]),
      listener('x2', 21002, []),
      listener('g', 21004, [chain('g', 'g')]),
    ),
    'a constraint of the listener itself': lds('4', good, listener('y', 70_000, [chain('y', 'y')])),
    'a name twice': lds(
      '5',
      good,
      listener('z', 21002, [chain('z', 'z')]),
      listener('z', 21002, [chain('z', 'x')]),
    ),
    'an address twice': lds('6', good, listener('w', 21000, [chain('w', 'w')])),
    'no JSON': '{"version_info": "7", resources: [',
    'an unknown field': lds('8', { ...good, foo: 1 }),
    'a wrong JSON type': lds('9', { ...good, name: { a: 1 } }),
    'another resource': lds('10', {
      '@type': 'type.googleapis.com/envoy.config.cluster.v3.Cluster',
      name: 'c',
    }),
    'an unknown resource': lds('11', { '@type': 'type.googleapis.com/foo.Bar', name: 'c' }),
    'another reuse_port': lds('12', { ...good, enable_reuse_port: false }),
    'nothing at all': lds('13'),
    'an unknown cluster': lds(
      '14',
      listener('l1', 21000, [
        { filters: [manager('a', 'a', { direct_response: undefined, route: { cluster: 'nope' } })] },
      ]),
    ),
    'no name': lds('15', { ...good, name: '' }),
    'no address': lds('16', { ...good, address: undefined }),
    'an address in use': lds('17', listener('l1', 21001, [chain('a', 'a')])),
    'an unknown filter': lds(
      '18',
      listener('l1', 21000, [
        { filters: [{ name: 'my', typed_config: { '@type': 'type.googleapis.com/google.protobuf.Empty' } }] },
      ]),
    ),
    'a good one': lds('19', good),
    'wrapped with versions': lds('20', {
      '@type': 'type.googleapis.com/envoy.service.discovery.v3.Resource',
      name: 'ignored',
      version: 'own',
      resource: listener('l1', 21000, [chain('a', 'wrapped')], metadata),
    }),
  };
  await expectSame(
    t,
    bootstrap,
    async (side) => {
      const seen: Record<string, unknown> = {};
      for (const [name, text] of Object.entries(responses)) {
        await put(side, text);
        seen[name] = await pages(side);
      }
      const logged = side.proxy.output.split('\n').flatMap((it) => {
        const at = it.search(/lds: |error adding listener: |listener '.*' failed to bind/);
        return at < 0
          ? []
          : words(it.slice(at))
              .replace(/rejected: goo.*/, 'rejected: ')
              .replace(/rejected: Proto constraint.*/, 'rejected: ')
              .replace(/[0-9a-f-]{36}/, '<any>');
      });
      return { seen, logged };
    },
    { files: { 'lds.yaml': lds('1', good) }, ports: [21002, 21004], logLevel: 'info', drainSeconds: 30 },
  );
});
