// Counters, gauges and histograms as the request path sees them: fields that are incremented. Names are resolved to these
// objects when configuration is prepared, never per request.

/** `counter.value++` or `counter.value += n`. */
export class Counter {
  value = 0;
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }
}

/** `gauge.value++`, `gauge.value--`, `gauge.value = n`. */
export class Gauge {
  value = 0;
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }
}
