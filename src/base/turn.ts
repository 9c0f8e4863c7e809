// One turn of the event loop: what its events have in common. Its time is read once, and what was put off is done at its end.

const endings: (() => void)[] = [];
let isEndScheduled = false;
let isRead = false;
let ms = 0;

/** `performance.now()`, the same for the whole turn. A request asks for the time a dozen times; this spares most of it. */
export function turnMs(): number {
  if (!isRead) {
    isRead = true;
    ms = performance.now();
    scheduleTurnEnd();
  }
  return ms;
}

/** Calls what `atTurnEnd` was given after the events of this turn. */
export function scheduleTurnEnd(): void {
  if (isEndScheduled) return;
  isEndScheduled = true;
  setImmediate(endTurn);
}

/** At the end of every turn for which somebody scheduled it, or asked for the time. */
export function atTurnEnd(ending: () => void): void {
  endings.push(ending);
}

function endTurn(): void {
  isEndScheduled = false;
  isRead = false;
  for (let i = 0; i < endings.length; i++) endings[i]!();
}
