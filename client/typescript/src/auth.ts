// The credentials of a client while it runs: owns the present token and renews it. It never judges a refusal; that a token
// must be renewed is told to it, or read off the token's own end.

import { SemelError, usageError } from "./error.js";
import type { IssueTokenResponse } from "./gen/semel/v1/auth_service_pb.js";
import type { AnyMethod, AnyRequest } from "./methods.js";
import type { Credentials } from "./options.js";
import { localRefusal } from "./refusal.js";
import { type Scope, within } from "./scope.js";
import { steadyMs, timestampMs } from "./time.js";

/** A token is renewed when this part of its life has passed, so that its end is never met in ordinary use. */
const RENEW_AT = 3 / 4;
/** The longest wait before renewing is tried again while the present token still holds. */
const RENEW_AGAIN_MS_MAX = 10_000;
/** What is assumed of a token whose answer does not say when it ends. */
const LIFETIME_UNSTATED_MS = 300_000;

/** What a call is signed with, and the generation by which to say that it was refused. */
export interface Signature {
  readonly token: string | undefined;
  readonly generation: number;
  /** When it should be renewed, by the steady clock; undefined if it stays as it is. */
  readonly renewAt: number | undefined;
}

/** Fetches a token for a secret: a logical call of its own, unsigned. */
export type IssueToken = (app: string, secret: string) => Promise<IssueTokenResponse>;

interface Token extends Signature {
  readonly endsAt: number;
}

/** How calls are signed. What it holds shows in no log: it stands in private fields. */
export class Auth {
  readonly #fixed: Signature = { token: undefined, generation: 0, renewAt: undefined };
  readonly #secret: { readonly app: string; readonly secret: string } | undefined;
  readonly #issue: IssueToken;
  #present: Token | undefined;
  #renewing: Promise<Token> | undefined;
  #quietUntil = 0;

  constructor(credentials: Credentials | undefined, issue: IssueToken) {
    this.#issue = issue;
    if (credentials === undefined) {
      return;
    }
    if ("token" in credentials) {
      this.#fixed = { ...this.#fixed, token: checked(credentials.token) };
    } else {
      this.#secret = { app: credentials.app, secret: credentials.secret };
    }
  }

  /** Whether a refused token can be replaced. */
  get canRefresh(): boolean {
    return this.#secret !== undefined;
  }

  /** Puts the app and the secret that this client has into a request which asks for a token and names none. */
  fill(method: AnyMethod, request: AnyRequest): void {
    const secret = this.#secret;
    if (method.name !== "IssueToken" || secret === undefined || request.secret !== "") {
      return;
    }
    if (request.app === "" || request.app === secret.app) {
      request.app = secret.app;
      request.secret = secret.secret;
    }
  }

  /** The signature for a call that is about to be sent. Waits so long for a token at most. */
  async sign(patienceMs: number, scope: Scope): Promise<Signature> {
    if (this.#secret === undefined) {
      return this.#fixed;
    }
    const present = this.#present;
    const now = steadyMs();
    if (present === undefined || now >= present.endsAt) {
      return this.refresh(present?.generation ?? 0, patienceMs, scope);
    }
    if (present.renewAt !== undefined && now >= Math.max(present.renewAt, this.#quietUntil)) {
      // The token still holds: it is renewed beside the calls, which go on with it.
      this.#renew().catch(() => {
        this.#quietUntil = steadyMs() + Math.min((present.endsAt - steadyMs()) / 4, RENEW_AGAIN_MS_MAX);
      });
    }
    return present;
  }

  /** A fresh token in place of that of `generation`, unless there is one already. All callers share one renewal. */
  async refresh(generation: number, patienceMs: number, scope: Scope): Promise<Signature> {
    if (this.#secret === undefined) {
      return this.#fixed;
    }
    if (this.#present !== undefined && this.#present.generation > generation) {
      return this.#present;
    }
    const token = await within(this.#renew(), patienceMs, scope);
    if (token === undefined) {
      const refusal = localRefusal(
        "DEADLINE_EXCEEDED",
        "no token was to be had within the time of the call",
        "no_answer",
      );
      throw new SemelError("transport", refusal, "", 0);
    }
    return token;
  }

  #renew(): Promise<Token> {
    this.#renewing ??= this.#fetch().finally(() => {
      this.#renewing = undefined;
    });
    return this.#renewing;
  }

  async #fetch(): Promise<Token> {
    const { app, secret } = this.#secret ?? { app: "", secret: "" };
    const askedAt = steadyMs();
    const answer = await this.#issue(app, secret);
    const lifetimeMs = lifetimeOf(answer);
    const token: Token = {
      token: checked(answer.token),
      generation: (this.#present?.generation ?? 0) + 1,
      renewAt: askedAt + lifetimeMs * RENEW_AT,
      endsAt: askedAt + lifetimeMs,
    };
    this.#present = token;
    return token;
  }
}

/** How long a token holds, by the server's clock alone: from the time of the answer to the end that it states. */
export function lifetimeOf(answer: IssueTokenResponse): number {
  const now = answer.header?.serverTime;
  if (answer.expireTime === undefined || now === undefined) {
    return LIFETIME_UNSTATED_MS;
  }
  return Math.max(timestampMs(answer.expireTime) - timestampMs(now), 0);
}

/** A token that can stand in a header. */
function checked(token: string): string {
  if (!/^[\x21-\x7e]+$/.test(token)) {
    throw usageError("the credentials hold characters that cannot be sent; check for spaces and line breaks");
  }
  return token;
}
