// Where a watch goes on, and its written form. Pure.
package dev.semel.client.internal.watch;

import dev.semel.client.internal.SemelExceptions;

/**
 * Where a watch goes on. The server's token names a place between two messages. Behind a {@code ~}, this client adds how much of
 * what comes after that place was dealt with, so that a program that stops in the middle of a message goes on with the next event
 * and not with the next message.
 *
 * @param base what the server gave
 * @param passed what was dealt with since
 */
record Token(String base, Passed passed) {
    /** Between the server's token and what this client adds; no token of a server has it. */
    private static final char MARK = '~';

    static Token parse(String text) {
        int mark = text.indexOf(MARK);
        String base = mark < 0 ? text : text.substring(0, mark);
        if (base.isEmpty()) {
            throw SemelExceptions.usage("\"" + text + "\" is no resume token; copy it whole");
        }
        return new Token(base, mark < 0 ? new Passed() : Passed.parse(text.substring(mark + 1)));
    }

    @Override
    public String toString() {
        return passed.isEmpty() ? base : base + MARK + passed;
    }
}
