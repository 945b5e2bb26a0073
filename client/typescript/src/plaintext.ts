// Where credentials may travel unencrypted: on this machine, and where the program says that the network itself encrypts.
import { usageError } from "./error.js";

/** What a program may say of that. */
export interface PlaintextOptions {
  /**
   * Whether credentials may cross a network in plaintext, as behind a mesh that encrypts. Default false: then a client that has
   * credentials refuses an `http:` endpoint on another machine.
   */
  readonly allowPlaintext?: boolean | undefined;
}

/** Throws a usage error where credentials would be read on the way. */
export function refusePlaintext(url: URL, hasCredentials: boolean, { allowPlaintext }: PlaintextOptions): void {
  if (hasCredentials && url.protocol === "http:" && !isLoopback(url.hostname) && allowPlaintext !== true) {
    const advice = "use https, or say allowPlaintext where the network itself encrypts";
    throw usageError(`credentials would cross the network to ${url.origin} in plaintext; ${advice}`);
  }
}

/** A URL writes every IPv4 address with four numbers. */
function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname === "[::1]" || /^127\.\d+\.\d+\.\d+$/.test(hostname);
}
