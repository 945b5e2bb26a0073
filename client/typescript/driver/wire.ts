// How the driver writes and reads messages and errors: protobuf's JSON mapping with the names of the fields as they stand in
// the protocol.
import {
  createRegistry,
  type DescEnum,
  type DescMessage,
  fromJson,
  type JsonValue,
  type MessageShape,
  toJson,
} from "@bufbuild/protobuf";
import type { SemelError } from "@semel/client";
import * as v1 from "@semel/client/v1";

/** What this client does not have. */
export class Unsupported extends Error {}

const files = Object.values(v1).filter(
  (value) => typeof value === "object" && value !== null && "kind" in value && value.kind === "file",
);

/** Every type of the protocol, for what messages hold as `Any`. */
export const registry = createRegistry(...files);

export function read<D extends DescMessage>(desc: D, json: unknown): MessageShape<D> {
  return fromJson(desc, (json ?? {}) as JsonValue, { registry });
}

export function write<D extends DescMessage>(desc: D, message: MessageShape<D>): JsonValue {
  return toJson(desc, message, { registry, useProtoFieldName: true });
}

/** The typed error of this client, as the protocol of the drivers has it. */
export function errorJson(error: SemelError): object {
  return {
    kind: error.kind,
    code: error.code,
    reason: error.reason,
    auth_status: enumName(v1.AuthStatusSchema, error.authStatus),
    may_retry: error.mayRetry,
    request_id: error.requestId,
    attempts: error.attempts,
    message: error.message,
    violations: error.violations.map(({ field, description }) => [field, description]),
    metadata: error.metadata,
    oldest_revision: error.oldestRevision === undefined ? null : Number(error.oldestRevision),
  };
}

/** The name of an enum's value; the number of one that is not known. */
export function enumName(desc: DescEnum, number: number): string | number {
  return desc.values.find((value) => value.number === number)?.name ?? number;
}
