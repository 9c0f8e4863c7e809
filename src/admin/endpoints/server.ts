// What concerns the server as a whole.

import { toJson } from '#schema/json.ts';
import { message } from '#schema/registry.ts';
import { type AdminEndpoint, ok } from '../endpoint.ts';
import { jsonPage, messagePage } from '../json-page.ts';
import type { ServerOwner } from '../owners.ts';

export function serverEndpoints(server: ServerOwner): AdminEndpoint[] {
  return [
    {
      path: '/ready',
      help: 'print server state, return 200 if LIVE, otherwise return 503',
      mutates: false,
      handle() {
        const state = server.state();
        return { status: state === 'LIVE' ? 200 : 503, body: `${state}\n` };
      },
    },
    {
      path: '/server_info',
      help: 'print server version/status information',
      mutates: false,
      handle: () =>
        messagePage(
          'envoy.admin.v3.ServerInfo',
          {
            version: server.version,
            state: server.state(),
            uptime_current_epoch: wholeSeconds(server.uptimeCurrentEpochMs()),
            uptime_all_epochs: wholeSeconds(server.uptimeAllEpochsMs()),
            hot_restart_version: server.hotRestartVersion,
            command_line_options: server.commandLineOptions,
            node: server.node,
          },
          { defaults: true },
        ),
    },
    {
      path: '/hot_restart_version',
      help: 'print the hot restart compatibility version',
      mutates: false,
      handle: () => ({ body: server.hotRestartVersion }),
    },
    {
      path: '/healthcheck/fail',
      help: 'cause the server to fail health checks',
      mutates: true,
      handle() {
        server.failHealthCheck(true);
        return ok;
      },
    },
    {
      path: '/healthcheck/ok',
      help: 'cause the server to pass health checks',
      mutates: true,
      handle() {
        server.failHealthCheck(false);
        return ok;
      },
    },
    {
      path: '/drain_listeners',
      help: 'drain listeners',
      mutates: true,
      parameters: [
        {
          name: 'graceful',
          isFlag: true,
          help: 'When draining listeners, enter a graceful drain period prior to closing listeners. This behaviour and duration is configurable via server options or CLI',
        },
        {
          name: 'skip_exit',
          isFlag: true,
          help: 'When draining listeners, drain the connections but never stop the listeners. The graceful parameter has no effect when this is set, since the drain period only delays stopping the listeners',
        },
        {
          name: 'inboundonly',
          isFlag: true,
          help: 'Drains all inbound listeners. traffic_direction field in envoy_v3_api_msg_config.listener.v3.Listener is used to determine whether a listener is inbound or outbound.',
        },
      ],
      handle({ query }) {
        server.drainListeners({
          graceful: query.has('graceful'),
          skipExit: query.has('skip_exit'),
          inboundOnly: query.has('inboundonly'),
        });
        return ok;
      },
    },
    {
      path: '/quitquitquit',
      help: 'exit the server',
      mutates: true,
      handle: () => ({ ...ok, afterSent: () => server.quit() }),
    },
    {
      path: '/reopen_logs',
      help: 'reopen access logs',
      mutates: true,
      handle() {
        server.reopenLogs();
        return ok;
      },
    },
    {
      path: '/init_dump',
      help: 'dump current Envoy init manager information (experimental)',
      mutates: false,
      parameters: [
        {
          name: 'mask',
          help: 'The desired component to dump unready targets. The mask is parsed as a Protobuf::FieldMask. For example, get the unready targets of all listeners with /init_dump?mask=listener`',
        },
      ],
      handle({ query }) {
        // Listeners are the only component there is to ask for; what is asked for otherwise has no targets.
        const mask = query.value('mask');
        const targets = mask === undefined || mask === 'listener' ? server.unreadyTargets() : [];
        const dumps = targets.map(({ name, targetNames }) => ({ name, target_names: targetNames }));
        const type = message('envoy.admin.v3.UnreadyTargetsDumps');
        return jsonPage(
          toJson(type, dumps.length === 0 ? {} : { unready_targets_dumps: [{ unready_targets: dumps }] }),
        );
      },
    },
  ];
}

const wholeSeconds = (ms: number) => ({ seconds: Math.floor(ms / 1000), nanos: 0 });
