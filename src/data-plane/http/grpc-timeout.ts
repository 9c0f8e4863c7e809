// The `grpc-timeout` header: at most eight digits and a unit.

/** In ms, rounded up; undefined when there is none or it makes no sense. */
export function grpcTimeoutMs(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,8}[HMSmun]$/.test(text)) return undefined;
  const amount = Number(text.slice(0, -1));
  switch (text[text.length - 1]) {
    case 'H':
      return amount * 3_600_000;
    case 'M':
      return amount * 60_000;
    case 'S':
      return amount * 1000;
    case 'm':
      return amount;
    case 'u':
      return Math.ceil(amount / 1000);
    default:
      return Math.ceil(amount / 1_000_000);
  }
}
