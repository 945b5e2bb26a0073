// A wake-up call: whoever waits goes on when something has moved. It holds nothing; who wakes looks for himself.

/** See the file. */
export class Wakeup {
  #waiting: (() => void)[] = [];

  /** Waits for the next call. */
  wait(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Wakes all who wait now. */
  wake(): void {
    for (const resume of this.#waiting.splice(0)) {
      resume();
    }
  }
}
