// Where a watch goes on. The server gives a token with each message; this file makes one of it for each *event*, so that a
// program that stops in the middle of a message goes on with the next event and not with the next message.
//
// The server's token names a place between two messages. Behind a `~`, this client adds how much of what comes after that
// place was dealt with: for each app the revision, and how many of its events. An app's events come in one order, so that
// says it all; it must be by app, for a watch over many apps is ordered for each of them only.
import { usageError } from "../error.js";

/** Between the server's token and what this client adds; no token of a server has it. */
const MARK = "~";

/** The last revision of an app of which something was dealt with, and how many of its events were. */
export interface Place {
  readonly revision: bigint;
  readonly events: number;
}

/** For each app, how far its events were dealt with since the server's last token. */
export type Passed = ReadonlyMap<string, Place>;

/** What is known of an app and a revision. */
export interface EventPlace {
  readonly app: string;
  readonly revision: bigint;
}

/** A resume token, taken apart. */
export interface ResumePoint {
  /** What the server gave. */
  readonly base: string;
  readonly passed: Passed;
}

/** Reads a token. Throws a usage error if it is none. */
export function parseToken(text: string): ResumePoint {
  const at = text.indexOf(MARK);
  const base = at < 0 ? text : text.slice(0, at);
  const passed = new Map<string, Place>();
  for (const part of at < 0 ? [] : text.slice(at + 1).split(",")) {
    const found = /^([^:]*):(\d{1,19}):(\d{1,9})$/.exec(part);
    if (found === null) {
      throw notOne(text);
    }
    const [, app = "", revision = "", events = ""] = found;
    passed.set(app, { revision: BigInt(revision), events: Number(events) });
  }
  if (base === "") {
    throw notOne(text);
  }
  return { base, passed };
}

function notOne(text: string): Error {
  return usageError(`"${text}" is no resume token; copy it whole`);
}

/** Writes a token. */
export function formatToken({ base, passed }: ResumePoint): string {
  const parts = [...passed].map(([app, place]) => `${app}:${place.revision}:${place.events}`);
  return parts.length === 0 ? base : `${base}${MARK}${parts.join(",")}`;
}

/** Takes note of the next event. */
export function note(passed: Map<string, Place>, { app, revision }: EventPlace): void {
  const before = passed.get(app);
  const events = before?.revision === revision ? before.events + 1 : 1;
  passed.set(app, { revision, events });
}

/** What a message says of places; shared by the items that were made of it. */
export interface Part {
  /** Where the message before ended; undefined before the end of a snapshot. */
  readonly base: string | undefined;
  /** What was dealt with since then, before this message: the parts of a revision that came in several. */
  readonly before: Passed;
  /** The events in it. */
  readonly events: readonly EventPlace[];
  /** Where it ends. */
  readonly after: string | undefined;
}

/** The token behind so many events of a message; undefined where there is no such place. */
export function tokenBehind({ base, before, events, after }: Part, count: number): string | undefined {
  if (count === events.length && after !== undefined) {
    return after;
  }
  if (base === undefined) {
    return undefined;
  }
  const passed = new Map(before);
  for (const event of events.slice(0, count)) {
    note(passed, event);
  }
  return formatToken({ base, passed });
}
