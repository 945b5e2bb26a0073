// The client of this example, set up from the environment as `semel` itself is.
import { readFileSync } from "node:fs";
import { type Client, connect } from "@semel/client";

/** The job, and the processor, that counts words. */
export const JOB = "count";

/** What a run gives, as JSON. */
export interface Count {
  readonly lines: number;
  readonly words: number;
  readonly bytes: number;
}

export function clientFromEnvironment(): Client {
  const { SEMEL_SERVER = "http://127.0.0.1:7400", SEMEL_APP = "demo", SEMEL_SECRET_FILE = "demo.secret" } = process.env;
  const secret = readFileSync(SEMEL_SECRET_FILE, "utf8").trim();
  return connect(SEMEL_SERVER, { app: SEMEL_APP, credentials: { app: SEMEL_APP, secret } });
}
