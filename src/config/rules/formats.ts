// Texts with a grammar of their own: access-log formats, header values and names, regular expressions.

import { celProblem, envoyCelProblem, plainCel } from '#base/cel-problem.ts';
import { regexProblem } from '#base/regex.ts';
import { nearest } from '../edit-distance.ts';
import { translatedHeaderFormat } from '#http/header-format.ts';
import type { ParseContext } from '../parse-context.ts';
import { type Rule, rule } from './rule.ts';

/** Command operators of Envoy 1.40, asked of it one by one. */
const commands = new Set(
  `ACCESS_LOG_TYPE BYTES_RECEIVED BYTES_RETRANSMITTED BYTES_SENT CEL CLUSTER_METADATA COALESCE COMMON_DURATION
  CONNECTION_ID CONNECTION_TERMINATION_DETAILS CUSTOM_FLAGS DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED
  DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_SENT DOWNSTREAM_DETECTED_CLOSE_TYPE DOWNSTREAM_DIRECT_LOCAL_ADDRESS
  DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT DOWNSTREAM_DIRECT_LOCAL_PORT DOWNSTREAM_DIRECT_REMOTE_ADDRESS
  DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT DOWNSTREAM_DIRECT_REMOTE_PORT DOWNSTREAM_HANDSHAKE_DURATION
  DOWNSTREAM_HEADER_BYTES_RECEIVED DOWNSTREAM_HEADER_BYTES_SENT DOWNSTREAM_LOCAL_ADDRESS
  DOWNSTREAM_LOCAL_ADDRESS_ENDPOINT_ID DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT DOWNSTREAM_LOCAL_CLOSE_REASON
  DOWNSTREAM_LOCAL_DNS_SAN DOWNSTREAM_LOCAL_EMAIL_SAN DOWNSTREAM_LOCAL_IP_SAN DOWNSTREAM_LOCAL_OTHERNAME_SAN
  DOWNSTREAM_LOCAL_PORT DOWNSTREAM_LOCAL_SUBJECT DOWNSTREAM_LOCAL_URI_SAN DOWNSTREAM_PEER_CERT
  DOWNSTREAM_PEER_CERT_V_END DOWNSTREAM_PEER_CERT_V_START DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_1
  DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_256 DOWNSTREAM_PEER_CHAIN_SERIALS DOWNSTREAM_PEER_DNS_SAN
  DOWNSTREAM_PEER_EMAIL_SAN DOWNSTREAM_PEER_FINGERPRINT_1 DOWNSTREAM_PEER_FINGERPRINT_256 DOWNSTREAM_PEER_IP_SAN
  DOWNSTREAM_PEER_ISSUER DOWNSTREAM_PEER_OTHERNAME_SAN DOWNSTREAM_PEER_SERIAL DOWNSTREAM_PEER_SUBJECT
  DOWNSTREAM_PEER_URI_SAN DOWNSTREAM_REMOTE_ADDRESS DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT DOWNSTREAM_REMOTE_PORT
  DOWNSTREAM_TLS_CIPHER DOWNSTREAM_TLS_GROUP DOWNSTREAM_TLS_SESSION_ID DOWNSTREAM_TLS_VERSION
  DOWNSTREAM_TRANSPORT_FAILURE_REASON DOWNSTREAM_WIRE_BYTES_RECEIVED DOWNSTREAM_WIRE_BYTES_SENT DURATION
  DYNAMIC_METADATA EMIT_TIME EMIT_TIME_LOCAL ENVIRONMENT FILTER_CHAIN_NAME FILTER_STATE GRPC_STATUS
  GRPC_STATUS_NUMBER HOSTNAME LISTENER_NAME LOCAL_REPLY_BODY METADATA PACKETS_RETRANSMITTED PATH PROTOCOL
  QUERY_PARAM QUERY_PARAMS REQ REQUESTED_SERVER_NAME REQUEST_DURATION REQUEST_HEADER REQUEST_HEADERS_BYTES
  REQUEST_TX_DURATION RESP RESPONSE_CODE RESPONSE_CODE_DETAILS RESPONSE_DURATION RESPONSE_FLAGS
  RESPONSE_FLAGS_LONG RESPONSE_HEADER RESPONSE_HEADERS_BYTES RESPONSE_TRAILER RESPONSE_TRAILERS_BYTES
  RESPONSE_TX_DURATION ROUNDTRIP_DURATION ROUTE_NAME SPAN_ID START_TIME START_TIME_LOCAL STREAM_ID
  TLS_JA3_FINGERPRINT TLS_JA4_FINGERPRINT TRACE_ID TRAILER UNIQUE_ID UPSTREAM_CLUSTER UPSTREAM_CLUSTER_RAW
  UPSTREAM_CONNECTION_ID UPSTREAM_CONNECTION_IDS_ATTEMPTED UPSTREAM_CONNECTION_POOL_READY_DURATION
  UPSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED UPSTREAM_DECOMPRESSED_HEADER_BYTES_SENT UPSTREAM_DETECTED_CLOSE_TYPE
  UPSTREAM_FILTER_STATE UPSTREAM_HEADER_BYTES_RECEIVED UPSTREAM_HEADER_BYTES_SENT UPSTREAM_HOST UPSTREAM_HOST_NAME
  UPSTREAM_HOST_NAMES_ATTEMPTED UPSTREAM_HOST_NAMES_ATTEMPTED_WITHOUT_PORT UPSTREAM_HOST_NAME_WITHOUT_PORT
  UPSTREAM_HOSTS_ATTEMPTED UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT UPSTREAM_LOCAL_ADDRESS
  UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT UPSTREAM_LOCAL_CLOSE_REASON UPSTREAM_LOCAL_DNS_SAN UPSTREAM_LOCAL_IP_SAN
  UPSTREAM_LOCAL_PORT UPSTREAM_LOCAL_URI_SAN UPSTREAM_METADATA UPSTREAM_PEER_CERT UPSTREAM_PEER_CERT_V_END
  UPSTREAM_PEER_CERT_V_START UPSTREAM_PEER_DNS_SAN UPSTREAM_PEER_IP_SAN UPSTREAM_PEER_ISSUER UPSTREAM_PEER_SUBJECT
  UPSTREAM_PEER_URI_SAN UPSTREAM_PROTOCOL UPSTREAM_REMOTE_ADDRESS UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT
  UPSTREAM_REMOTE_PORT UPSTREAM_REQUEST_ATTEMPT_COUNT UPSTREAM_SERVER_NAME UPSTREAM_TLS_CIPHER UPSTREAM_TLS_GROUP
  UPSTREAM_TLS_SESSION_ID UPSTREAM_TLS_VERSION UPSTREAM_TRANSPORT_FAILURE_REASON UPSTREAM_WIRE_BYTES_RECEIVED
  UPSTREAM_WIRE_BYTES_SENT VIRTUAL_CLUSTER_NAME DOWNSTREAM_CX_RTT DOWNSTREAM_PEER_ISSUER_FINGERPRINT_256
  DOWNSTREAM_PEER_ISSUER_SERIAL UPSTREAM_REMOTE_ADDRESS_ENDPOINT_ID ROUTE_RESOLUTION_COUNT ROUTE_RESOLUTION_TIME_US
  XFCC_VALUE TYPED_CEL STREAM_INFO_REQ`.split(/\s+/),
);
const needParameters = new Set([
  'COMMON_DURATION', 'REQ', 'RESP', 'TRAILER', 'REQUEST_HEADER', 'RESPONSE_HEADER', 'RESPONSE_TRAILER', 'DYNAMIC_METADATA',
  'CLUSTER_METADATA', 'UPSTREAM_METADATA', 'ENVIRONMENT', 'QUERY_PARAM', 'COALESCE',
]); // biome-ignore format: a list
const headerCommands = new Set([
  'REQ',
  'RESP',
  'TRAILER',
  'REQUEST_HEADER',
  'RESPONSE_HEADER',
  'RESPONSE_TRAILER',
]);
const withoutParameters = new Set([
  'BYTES_RECEIVED', 'BYTES_SENT', 'DURATION', 'PROTOCOL', 'UPSTREAM_PROTOCOL', 'RESPONSE_CODE', 'REQUEST_DURATION', 'REQUEST_TX_DURATION',
  'RESPONSE_DURATION', 'RESPONSE_TX_DURATION', 'RESPONSE_FLAGS', 'RESPONSE_FLAGS_LONG', 'UPSTREAM_HOST', 'UPSTREAM_CLUSTER',
  'UPSTREAM_CLUSTER_RAW', 'ROUTE_NAME', 'CONNECTION_ID', 'HOSTNAME', 'FILTER_CHAIN_NAME', 'STREAM_ID', 'TRACE_ID', 'SPAN_ID',
  'LOCAL_REPLY_BODY', 'ACCESS_LOG_TYPE', 'DOWNSTREAM_REMOTE_ADDRESS', 'DOWNSTREAM_LOCAL_ADDRESS', 'UPSTREAM_LOCAL_ADDRESS',
]); // biome-ignore format: a list

const command = /%(?:%|([A-Z]+[A-Z0-9_]*)(?:\((.*?)\))?(?::([0-9]+))?%)/y;

export const formatRules: readonly Rule[] = [
  rule('envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter', (filter, at) => {
    const { expression, cel_config: config } = filter;
    const options = {
      stringConversion: config?.enable_string_conversion ?? false,
      stringConcat: config?.enable_string_concat ?? false,
      stringFunctions: config?.enable_string_functions ?? false,
    };
    const problem = celProblem(expression, options, 'filter expression');
    if (problem !== undefined)
      fail(at.field('expression'), problem, envoyCelProblem(problem), expression, undefined);
  }),
  rule('envoy.config.core.v3.SubstitutionFormatString', (format, at, _scope, around) => {
    // Formatters from plug-ins bring commands of their own.
    if (format.formatters.length > 0) return;
    const isDns = around.inside(dnsFilter) !== undefined;
    if (format.text_format !== undefined) checkFormat(format.text_format, at.field('text_format'), isDns);
    const inline = format.text_format_source?.inline_string;
    if (inline !== undefined)
      checkFormat(inline, at.field('text_format_source').field('inline_string'), isDns);
    if (format.json_format !== undefined) checkJsonFormat(format.json_format, at.field('json_format'), isDns);
  }),
  rule('envoy.extensions.access_loggers.file.v3.FileAccessLog', (log, at, _scope, around) => {
    const isDns = around.inside(dnsFilter) !== undefined;
    if (log.format !== undefined) checkFormat(log.format, at.field('format'), isDns);
    if (log.json_format !== undefined) checkJsonFormat(log.json_format, at.field('json_format'), isDns);
    if (log.typed_json_format !== undefined)
      checkJsonFormat(log.typed_json_format, at.field('typed_json_format'), isDns);
  }),
  rule('envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.TunnelingConfig', (tunnel, at) =>
    checkFormat(tunnel.hostname, at.field('hostname')),
  ),
  rule('envoy.config.core.v3.HeaderValueOption', (option, at, _scope, around) => {
    const header = option.header;
    if (header === undefined || !isOnPath(around.field?.parent.name)) return;
    const name = header.key.toLowerCase();
    if (name.startsWith(':') || name === 'host') {
      at.field('header')
        .field('key')
        .fail(`the header "${header.key}" must not be changed this way`, {
          rule: 'protected-header',
          got: header.key,
          envoy: ':-prefixed or host headers may not be modified',
          suggestion:
            name === 'host' || name === ':authority'
              ? 'use "host_rewrite_literal" in the route'
              : 'use a rewrite of the route',
        });
    } else checkFormat(translatedHeaderFormat(header.value), at.field('header').field('value'));
  }),
  rule('envoy.config.route.v3.RouteConfiguration', (it, at) => checkRemoved(it, at)),
  rule('envoy.config.route.v3.VirtualHost', (it, at) => checkRemoved(it, at)),
  rule('envoy.config.route.v3.Route', (it, at) => checkRemoved(it, at)),
  rule('envoy.config.route.v3.WeightedCluster.ClusterWeight', (it, at) => checkRemoved(it, at)),
  rule('envoy.type.matcher.v3.RegexMatcher', (matcher, at) => checkRegex(matcher.regex, at.field('regex'))),
];

/** Messages whose headers are formatted when a request passes. */
const formatted = new Set([
  'envoy.config.common.mutation_rules.v3.HeaderMutation',
  'envoy.extensions.filters.network.http_connection_manager.v3.ResponseMapper',
  'envoy.config.core.v3.HealthCheck.HttpHealthCheck',
  'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.TunnelingConfig',
]);

function isOnPath(parent: string | undefined): boolean {
  return parent !== undefined && (parent.startsWith('envoy.config.route.v3.') || formatted.has(parent));
}

interface RemovesHeaders {
  readonly request_headers_to_remove: readonly string[];
  readonly response_headers_to_remove: readonly string[];
}

function checkRemoved(it: RemovesHeaders, at: ParseContext): void {
  for (const field of ['request_headers_to_remove', 'response_headers_to_remove'] as const) {
    it[field].forEach((header, i) => {
      if (!header.startsWith(':') && header.toLowerCase() !== 'host') return;
      at.field(field, i).fail(`the header "${header}" must not be removed`, {
        rule: 'protected-header',
        got: header,
        envoy: ':-prefixed or host headers may not be removed',
        suggestion: 'remove this entry',
      });
    });
  }
}

export function checkRegex(pattern: string, at: ParseContext): void {
  const problem = regexProblem(pattern);
  if (problem === undefined) return;
  const isLook = /\(\?(?:=|!|<=|<!)/.test(pattern);
  at.fail(`the regular expression "${pattern}" is not valid: ${problem}`, {
    rule: 'invalid-regex',
    got: pattern,
    envoy: problem,
    expected: 'a regular expression in the syntax of RE2',
    ...(isLook && { suggestion: 'RE2 has no look-ahead and no look-behind' }),
    ...(/\\[1-9]/.test(pattern) && { suggestion: 'RE2 has no back-references' }),
  });
}

function checkJsonFormat(format: unknown, at: ParseContext, isDns: boolean): void {
  if (typeof format === 'string') checkFormat(format, at, isDns);
  else if (Array.isArray(format)) {
    for (const [i, item] of format.entries()) checkJsonFormat(item, at.index(i), isDns);
  } else if (typeof format === 'object' && format !== null) {
    for (const [key, value] of Object.entries(format)) checkJsonFormat(value, at.key(key), isDns);
  }
}

/** Its access logs have commands of their own, and no others. */
const dnsFilter = 'envoy.extensions.filters.udp.dns_filter.v3.DnsFilterConfig';
const dnsCommands: ReadonlySet<string> = new Set([
  'QUERY_NAME',
  'QUERY_TYPE',
  'QUERY_CLASS',
  'ANSWER_COUNT',
  'RESPONSE_CODE',
  'PARSE_STATUS',
]);

export function checkFormat(format: string, at: ParseContext, isDns = false): void {
  for (let from = format.indexOf('%'); from >= 0; from = format.indexOf('%', from)) {
    command.lastIndex = from;
    const match = command.exec(format);
    if (match === null) {
      const words = `Incorrect configuration: ${format}. Couldn't find valid command at position ${from}`;
      const lower = /^%[a-z_]+(?:\([^)]*\))?%/.exec(format.slice(from));
      fail(
        at,
        `there is no command at position ${from} of this format`,
        words,
        format,
        lower ? 'commands are in capital letters' : 'write "%%" for a percent sign',
      );
      return;
    }
    from = command.lastIndex;
    const name = match[1];
    if (name === undefined) continue;
    const parameters = match[2];
    if (isDns) {
      if (dnsCommands.has(name)) continue;
      const similar = nearest(name, dnsCommands);
      fail(
        at,
        `there is no command "${name}" for DNS`,
        `Invalid format substitution: ${name}`,
        format,
        similar && `did you mean "%${similar}%"?`,
      );
    } else if (name === 'CEL' || name === 'TYPED_CEL') {
      const problem = celProblem(parameters ?? '', plainCel);
      if (problem !== undefined) fail(at, problem, envoyCelProblem(problem), format, undefined);
    } else if (!commands.has(name)) {
      const similar = nearest(name, commands);
      fail(
        at,
        `there is no command "${name}"`,
        `Not supported field in StreamInfo: ${name}`,
        format,
        similar && `did you mean "%${similar}%"?`,
      );
    } else if (needParameters.has(name) && (parameters === undefined || parameters === '')) {
      fail(
        at,
        `"${name}" needs parameters in parentheses`,
        `${name} requires parameters`,
        format,
        headerCommands.has(name) ? `write "%${name}(header-name)%"` : undefined,
      );
    } else if (withoutParameters.has(name) && (parameters || match[3] !== undefined)) {
      fail(
        at,
        `"${name}" takes no parameters and no length`,
        `${name} does not take any parameters or length`,
        format,
        `write "%${name}%"`,
      );
    } else if (headerCommands.has(name)) checkHeaderCommand(parameters!, format, at);
    else if (name === 'FILTER_STATE' || name === 'UPSTREAM_FILTER_STATE')
      checkFilterState(parameters ?? '', format, at);
  }
}

function checkHeaderCommand(parameters: string, format: string, at: ParseContext): void {
  const headers = parameters.split('?');
  if (headers.length > 2) {
    fail(
      at,
      'at most one alternative header may be given',
      `More than 1 alternative header specified in token: ${parameters}`,
      format,
    );
    return;
  }
  if (headers.some((it) => !/^:?[0-9a-zA-Z!#$%&'*+.^_|~`-]*$/.test(it))) {
    fail(
      at,
      `"${parameters}" is not a header name`,
      'Invalid header configuration. Format string contains invalid characters.',
      format,
      /:\d+$/.test(parameters) ? 'the length stands behind the parenthesis: %REQ(name):10%' : undefined,
    );
  }
}

function checkFilterState(parameters: string, format: string, at: ParseContext): void {
  const [key, how] = parameters.split(':');
  if (key === undefined || key === '') {
    fail(at, 'the key is missing', 'Invalid filter state configuration, key cannot be empty.', format);
  } else if (how && !['PLAIN', 'TYPED', 'FIELD'].includes(how)) {
    fail(
      at,
      `"${how}" is none of PLAIN, TYPED, FIELD`,
      'Invalid filter state serialize type, only support PLAIN/TYPED/FIELD.',
      format,
    );
  }
}

function fail(at: ParseContext, problem: string, envoy: string, format: string, suggestion?: string): void {
  at.fail(problem, {
    rule: 'format-string',
    got: format,
    envoy,
    expected: 'a format such as "%REQ(:METHOD)% %RESPONSE_CODE%"',
    ...(suggestion !== undefined && { suggestion }),
  });
}
