// Moments at which a worker has something to do. What has lost its sense by then is not taken back: it looks again before
// acting.

/** See the file. */
export class Timers {
  readonly #timers = new Set<NodeJS.Timeout>();

  /** Does it after so many milliseconds, unless all are cleared before. */
  later(ms: number, act: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      act();
    }, ms);
    this.#timers.add(timer);
  }

  clear(): void {
    for (const timer of this.#timers) {
      clearTimeout(timer);
    }
    this.#timers.clear();
  }
}
