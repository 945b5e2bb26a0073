// A server of HTTP/2 that answers by a script, as servers, proxies and networks do. It knows unary calls alone.
import { once } from "node:events";
import * as http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { create, type DescMessage, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { anyPack, timestampNow } from "@bufbuild/protobuf/wkt";
import { ErrorInfoSchema, RetryInfoSchema } from "../../src/gen/google/rpc/error_details_pb.js";
import { StatusSchema } from "../../src/gen/google/rpc/status_pb.js";
import {
  AuthService,
  IssueTokenRequestSchema,
  IssueTokenResponseSchema,
} from "../../src/gen/semel/v1/auth_service_pb.js";
import {
  AuthStatus,
  Disposition,
  type ResponseHeader,
  ResponseHeaderSchema,
} from "../../src/gen/semel/v1/header_pb.js";
import { RunJobRequestSchema, RunJobResponseSchema } from "../../src/gen/semel/v1/job_service_pb.js";

/** One arrival. */
export interface Arrival {
  readonly requestId: string;
  readonly token: string;
  readonly timeout: string;
}

/** What is answered to one arrival. */
export type Answer = (stream: http2.ServerHttp2Stream, arrival: Arrival) => void;

export class Scripted {
  readonly arrivals: Arrival[] = [];
  readonly tokens: string[] = [];
  readonly #server = http2.createServer();
  readonly #sessions = new Set<http2.ServerHttp2Session>();
  readonly #answers: Answer[];

  /** Each arrival of `RunJob` gets the next answer; the last one is for all that follow. */
  static async start(...answers: Answer[]): Promise<Scripted> {
    const scripted = new Scripted(answers);
    scripted.#server.listen(0, "127.0.0.1");
    await once(scripted.#server, "listening");
    return scripted;
  }

  private constructor(answers: Answer[]) {
    this.#answers = answers;
    this.#server.on("session", (session) => this.#sessions.add(session));
    this.#server.on("stream", (stream, headers) => {
      stream.on("error", () => {});
      const pieces: Buffer[] = [];
      stream.on("data", (piece: Buffer) => pieces.push(piece));
      stream.on("end", () => this.#answer(stream, headers, Buffer.concat(pieces).subarray(5)));
    });
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get ids(): string[] {
    return this.arrivals.map(({ requestId }) => requestId);
  }

  #answer(stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders, body: Buffer): void {
    const token = String(headers.authorization ?? "").replace("Bearer ", "");
    if (headers[":path"]?.endsWith(AuthService.method.issueToken.name)) {
      const { header } = fromBinary(IssueTokenRequestSchema, body);
      this.tokens.push(`token-${this.tokens.length + 1}`);
      const soon = { ...timestampNow(), seconds: timestampNow().seconds + 3600n };
      const answer = { header: spoken(header?.requestId ?? ""), token: this.tokens.at(-1) ?? "", expireTime: soon };
      reply(stream, IssueTokenResponseSchema, answer);
      return;
    }
    const { header } = fromBinary(RunJobRequestSchema, body);
    const arrival = { requestId: header?.requestId ?? "", token, timeout: String(headers["grpc-timeout"] ?? "") };
    this.arrivals.push(arrival);
    const answer = this.#answers.length > 1 ? this.#answers.shift() : this.#answers[0];
    answer?.(stream, arrival);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of this.#sessions) {
      session.destroy();
    }
    this.#server.close();
  }
}

/** The head of an answer of a Semel server. */
export function spoken(requestId: string, status = AuthStatus.PASSED): ResponseHeader {
  const disposition = Disposition.EXECUTED;
  return create(ResponseHeaderSchema, { requestId, auth: { status }, disposition, serverTime: timestampNow() });
}

/** Answers OK, with a message. */
export function reply<D extends DescMessage>(
  stream: http2.ServerHttp2Stream,
  desc: D,
  init: MessageInitShape<D>,
): void {
  const bytes = toBinary(desc, create(desc, init));
  const head = Buffer.alloc(5);
  head.writeUInt32BE(bytes.length, 1);
  stream.respond({ ":status": 200, "content-type": "application/grpc+proto" }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
  stream.end(Buffer.concat([head, bytes]));
}

/** A run was made. */
export const made: Answer = (stream, { requestId }) =>
  reply(stream, RunJobResponseSchema, { header: spoken(requestId), runId: "run-1" });

/** A Semel server refuses. */
export function refuses(code: number, reason: string, more: { status?: AuthStatus; delayMs?: number } = {}): Answer {
  return (stream, { requestId }) => {
    const details = [
      anyPack(ErrorInfoSchema, create(ErrorInfoSchema, { reason, domain: "semel.v1" })),
      anyPack(ResponseHeaderSchema, spoken(requestId, more.status)),
    ];
    if (more.delayMs !== undefined) {
      const retryDelay = { seconds: 0n, nanos: more.delayMs * 1_000_000 };
      details.push(anyPack(RetryInfoSchema, create(RetryInfoSchema, { retryDelay })));
    }
    const status = toBinary(StatusSchema, create(StatusSchema, { code, message: "no", details }));
    says(code, { "grpc-status-details-bin": Buffer.from(status).toString("base64") })(stream, NOBODY);
  };
}

const NOBODY: Arrival = { requestId: "", token: "", timeout: "" };

/** Somebody ends the call with this status. */
export function says(code: number, headers: Record<string, string> = {}): Answer {
  const head = { ":status": 200, "content-type": "application/grpc", "grpc-status": String(code) };
  return (stream) => stream.respond({ ...head, "grpc-message": "no", ...headers }, { endStream: true });
}

/** A proxy answers by itself. */
export function http(status: number, body = "<html>"): Answer {
  return (stream) => {
    stream.respond({ ":status": status, "content-type": "text/html" });
    stream.end(body);
  };
}

/** The stream is reset instead of an answer. */
export function resets(code: number): Answer {
  return (stream) => stream.close(code);
}

/** Nothing comes. */
export const silence: Answer = () => {};
