// What was told already, by app and revision. It keeps an event from being told twice, whatever a server or a proxy sends
// again after a break; it never keeps back what is new.
import type { EventPlace, Passed } from "./token.js";

/** More apps than these are not kept in mind: a token alone keeps the server from telling them again. */
const APPS_MAX = 4096;

interface Seen {
  /** The last revision of which something was told. */
  revision: bigint;
  /** How many of its events were. */
  told: number;
  /** How many of its events came on the present stream. */
  came: number;
}

/** See the file. */
export class Marks {
  readonly #seen = new Map<string, Seen>();

  /** A new stream begins, behind what the token says. */
  begin(): void {
    for (const seen of this.#seen.values()) {
      seen.came = 0;
    }
  }

  /** Nothing counts any more: the next stream begins with no token, perhaps on another log. */
  forget(): void {
    this.#seen.clear();
  }

  /** This much was told before. */
  recall(passed: Passed): void {
    for (const [app, { revision, events }] of passed) {
      this.#seen.set(app, { revision, told: events, came: 0 });
    }
  }

  /** Whether an event is new; if so, it counts as told. */
  admit({ app, revision }: EventPlace): boolean {
    const seen = this.#seen.get(app);
    if (seen === undefined || revision > seen.revision) {
      this.#seen.set(app, { revision, told: 1, came: 1 });
      return true;
    }
    if (revision < seen.revision) {
      return false;
    }
    seen.came += 1;
    const isNew = seen.came > seen.told;
    seen.told = Math.max(seen.told, seen.came);
    return isNew;
  }

  /** A token came: the revisions of which something was told since the last one are whole, and get nothing more. */
  close(since: Passed): void {
    for (const app of since.keys()) {
      const seen = this.#seen.get(app);
      if (seen !== undefined) {
        seen.told = Number.POSITIVE_INFINITY;
      }
    }
  }

  /** Keeps within its bound; to be called where there is a token for all that was told. */
  trim(): void {
    if (this.#seen.size > APPS_MAX) {
      this.forget();
    }
  }
}
