// The log of an attempt between its handler and the stream: bounded, batched, in order. It sends nothing itself.
import { LogStream } from "../gen/semel/v1/run_service_pb.js";
import { Wakeup } from "../wakeup.js";

/** A chunk is sent when it has grown to this, or when it is some time old: half of what a server takes at most. */
export const CHUNK_BYTES = 32 * 1024;
/** How much of an attempt's log may wait for its acknowledgement; then the writer waits too. */
const ROOM_BYTES = 256 * 1024;
/** What a write costs beside its bytes, so that many tiny chunks are bounded as well. */
const WRITE_COST = 64;

/** A piece of a log, ready to be sent. */
export interface Chunk {
  readonly stream: LogStream;
  readonly data: Uint8Array<ArrayBuffer>;
  /** The room that it takes until it is acknowledged. */
  readonly cost: number;
}

/** The log of one attempt. */
export class LogBuffer {
  readonly #moved = new Wakeup();
  readonly #full: Chunk[] = [];
  #open: { stream: LogStream; pieces: Uint8Array[]; bytes: number; cost: number } | undefined;
  #room = ROOM_BYTES;
  #isClosed = false;

  /** Waits until there is room for so many bytes more. False if the log is of no use any more. */
  async reserve(bytes: number): Promise<boolean> {
    const cost = bytes + WRITE_COST;
    while (this.#room < cost && !this.#isClosed) {
      await this.#moved.wait();
    }
    this.#room -= cost;
    return !this.#isClosed;
  }

  /** Adds what room was reserved for: a chunk at most. Says whether it is time to send. */
  write(stream: LogStream, data: Uint8Array): boolean {
    if (this.#open !== undefined && (this.#open.stream !== stream || this.#open.bytes + data.length > CHUNK_BYTES)) {
      this.#closeChunk();
    }
    this.#open ??= { stream, pieces: [], bytes: 0, cost: 0 };
    this.#open.pieces.push(data.slice());
    this.#open.bytes += data.length;
    this.#open.cost += data.length + WRITE_COST;
    return this.#full.length > 0 || this.#open.bytes >= CHUNK_BYTES;
  }

  /** Takes all there is. */
  take(): Chunk[] {
    this.#closeChunk();
    return this.#full.splice(0);
  }

  /** Gives back the room of a chunk that is dealt with. */
  release(chunk: Chunk): void {
    this.#room += chunk.cost;
    this.#moved.wake();
  }

  /** From now on what is written is lost: nobody would take it. Writers that wait for room go on. */
  close(): void {
    this.#isClosed = true;
    this.#moved.wake();
  }

  #closeChunk(): void {
    if (this.#open === undefined) {
      return;
    }
    const data = new Uint8Array(this.#open.bytes);
    let at = 0;
    for (const piece of this.#open.pieces) {
      data.set(piece, at);
      at += piece.length;
    }
    this.#full.push({ stream: this.#open.stream, data, cost: this.#open.cost });
    this.#open = undefined;
  }
}

/** Which of a run's logs: standard output, or standard error. */
export type LogName = "stdout" | "stderr";

export function logStream(name: LogName): LogStream {
  return name === "stderr" ? LogStream.STDERR : LogStream.STDOUT;
}
