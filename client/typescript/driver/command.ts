// Reading the fields of a command.
import { readFileSync } from "node:fs";
import type { CallOptions, ClientOptions, ConnectionOptions, Credentials } from "@semel/client";

export interface Command {
  readonly id: unknown;
  readonly op: string;
  readonly [field: string]: unknown;
}

/** Writes a line that answers no command. */
export type Say = (line: object) => void;

/** A field that has to be a text. */
export function text(command: Command, field: string): string {
  const value = command[field];
  if (typeof value !== "string") {
    throw new Error(`"${field}" must be a text`);
  }
  return value;
}

/** A field that is a number, if it is there. */
export function optionalNumber(from: Readonly<Record<string, unknown>>, field: string): number | undefined {
  const value = from[field];
  if (value === undefined || value === null) {
    return undefined;
  }
  if (typeof value !== "number") {
    throw new Error(`"${field}" must be a number`);
  }
  return value;
}

/** What `connect` says of the client. */
export function clientOptions(command: Command): ClientOptions & ConnectionOptions {
  const given = (command.options ?? {}) as Record<string, unknown>;
  const number = (field: string) => optionalNumber(given, field);
  const offsetMs = number("clock_offset") ?? 0;
  return {
    app: typeof command.app === "string" ? command.app : undefined,
    credentials: (command.credentials ?? undefined) as Credentials | undefined,
    requestTimeoutMs: number("request_timeout"),
    overallTimeoutMs: number("overall_timeout"),
    retry: {
      attemptsMax: number("attempts_max"),
      backoffFirstMs: number("backoff_first"),
      backoffMaxMs: number("backoff_max"),
    },
    wallClock: () => Date.now() + offsetMs,
    tls: tlsOptions(given.tls as Record<string, unknown> | undefined),
  };
}

/** The certificates that files hold, by what they are for. */
function tlsOptions(files: Record<string, unknown> = {}): ConnectionOptions["tls"] {
  const named = ["ca", "cert", "key"].filter((name) => typeof files[name] === "string");
  return Object.fromEntries(named.map((name) => [name, readFileSync(String(files[name]))]));
}

/** What a command says of its calls. */
export function callOptions(command: Command): CallOptions {
  return {
    requestId: typeof command.request_id === "string" ? command.request_id : undefined,
    requestTimeoutMs: optionalNumber(command, "request_timeout"),
    overallTimeoutMs: optionalNumber(command, "overall_timeout"),
  };
}
