// The metrics of dns_filter, under `dns_filter.<stat_prefix>.`.
import type { Counter, Histogram } from '#stats/metric.ts';
import type { Scope } from '#stats/store.ts';
import { RecordType } from './dns-message.ts';

/** Counters by the type of a record. */
export class RecordCounters {
  readonly #a: Counter;
  readonly #aaaa: Counter;
  readonly #srv: Counter;
  readonly #unsupported: Counter;

  constructor(a: Counter, aaaa: Counter, srv: Counter, unsupported: Counter) {
    this.#a = a;
    this.#aaaa = aaaa;
    this.#srv = srv;
    this.#unsupported = unsupported;
  }

  count(type: number): void {
    const counter =
      type === RecordType.A
        ? this.#a
        : type === RecordType.Aaaa
          ? this.#aaaa
          : type === RecordType.Srv
            ? this.#srv
            : this.#unsupported;
    counter.value++;
  }
}

export class DnsFilterStats {
  readonly downstreamRxErrors: Counter;
  readonly downstreamRxInvalidQueries: Counter;
  readonly downstreamRxQueries: Counter;
  readonly downstreamTxResponses: Counter;
  readonly externallyResolvedQueries: Counter;
  readonly knownDomainQueries: Counter;
  readonly queriesWithAdditionalRrs: Counter;
  readonly queriesWithAnsOrAuthorityRrs: Counter;
  readonly queryBufferUnderflow: Counter;
  readonly queryParsingFailure: Counter;
  readonly unansweredQueries: Counter;
  readonly downstreamRxBytes: Histogram;
  readonly downstreamTxBytes: Histogram;
  readonly queries: RecordCounters;
  readonly localAnswers: RecordCounters;
  readonly clusterAnswers: RecordCounters;
  readonly externalQueries: RecordCounters;
  readonly externalAnswers: RecordCounters;

  constructor(scope: Scope) {
    this.downstreamRxErrors = scope.counter('downstream_rx_errors');
    this.downstreamRxInvalidQueries = scope.counter('downstream_rx_invalid_queries');
    this.downstreamRxQueries = scope.counter('downstream_rx_queries');
    this.downstreamTxResponses = scope.counter('downstream_tx_responses');
    this.externallyResolvedQueries = scope.counter('externally_resolved_queries');
    this.knownDomainQueries = scope.counter('known_domain_queries');
    this.queriesWithAdditionalRrs = scope.counter('queries_with_additional_rrs');
    this.queriesWithAnsOrAuthorityRrs = scope.counter('queries_with_ans_or_authority_rrs');
    this.queryBufferUnderflow = scope.counter('query_buffer_underflow');
    this.queryParsingFailure = scope.counter('query_parsing_failure');
    this.unansweredQueries = scope.counter('unanswered_queries');
    this.downstreamRxBytes = scope.histogram('downstream_rx_bytes', 'bytes');
    this.downstreamTxBytes = scope.histogram('downstream_tx_bytes', 'bytes');
    const unsupportedQueries = scope.counter('unsupported_queries');
    this.queries = new RecordCounters(
      scope.counter('a_record_queries'),
      scope.counter('aaaa_record_queries'),
      scope.counter('srv_record_queries'),
      unsupportedQueries,
    );
    const answers = (from: string) =>
      new RecordCounters(
        scope.counter(`${from}_a_record_answers`),
        scope.counter(`${from}_aaaa_record_answers`),
        scope.counter(`${from}_srv_record_answers`),
        scope.counter(`${from}_unsupported_answers`),
      );
    this.localAnswers = answers('local');
    this.clusterAnswers = answers('cluster');
    const external = (what: string) => {
      const unsupported = scope.counter(`external_unsupported_${what}`);
      return new RecordCounters(
        scope.counter(`external_a_record_${what}`),
        scope.counter(`external_aaaa_record_${what}`),
        unsupported,
        unsupported,
      );
    };
    this.externalQueries = external('queries');
    this.externalAnswers = external('answers');
    scope.counter('record_name_overflow');
    // Envoy has it and records nothing.
    scope.histogram('downstream_rx_query_latency', 'milliseconds');
  }
}
