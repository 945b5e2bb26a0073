// The way of many runs by a call of its own each, a few at a time.

import type { Scope } from "../scope.js";
import type { SharedWay } from "./many.js";
import { Places } from "./places.js";

/** So many calls at a time; more would only stand in line at the server. */
const CALLS_MAX = 32;

/** See the file. */
export class SingleWay implements SharedWay {
  readonly #places: Places;

  constructor(readonly scope: Scope) {
    this.#places = new Places(CALLS_MAX);
  }

  async attempt(): Promise<undefined> {
    return undefined;
  }

  place(): Promise<() => void> {
    return this.#places.take();
  }

  [Symbol.dispose](): void {}
}
