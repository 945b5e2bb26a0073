// The unary methods of a service as functions, typed by its descriptor. One descriptor makes all of them callable; nothing
// here knows any method by name.
import type { DescMethodUnary, DescService, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import type { Core } from "./call.js";
import type { CallOptions } from "./options.js";

/** The unary methods of a service. Streams are not among them; see `watch`, `submitMany` and `worker` of the client. */
export type Unary<S extends DescService> = {
  readonly [M in keyof S["method"] as S["method"][M] extends DescMethodUnary
    ? M
    : never]: S["method"][M] extends DescMethodUnary<infer I, infer O>
    ? (request: MessageInitShape<I>, options?: CallOptions) => Promise<MessageShape<O>>
    : never;
};

/** Makes the unary methods of a service callable. */
export function unary<S extends DescService>(service: S, core: Core): Unary<S> {
  const made: Record<string, unknown> = {};
  for (const method of service.methods) {
    if (method.methodKind === "unary") {
      made[method.localName] = (request: never, options?: CallOptions) =>
        core.call(method as DescMethodUnary, request, options);
    }
  }
  return made as Unary<S>;
}
