// How a client proves who it is. This file owns the kinds of credentials and that none of them ever shows a secret.
package dev.semel.client;

import java.util.Objects;

/**
 * How a client proves who it is. The string form of credentials never shows a secret.
 *
 * <p>Made with {@link #none()}, {@link #token(String)} and {@link #secret(String, String)}.
 */
public sealed interface Credentials permits Credentials.None, Credentials.Token, Credentials.Secret {

    /**
     * Nothing is sent: for servers that do not ask, and for calls that are open to everybody.
     *
     * @return no credentials
     */
    static Credentials none() {
        return None.INSTANCE;
    }

    /**
     * A token, sent with every call as it is. The client cannot renew it.
     *
     * @param token what goes behind {@code Bearer}: a token, or an app's secret itself
     * @return the credentials
     */
    static Credentials token(String token) {
        return new Token(token);
    }

    /**
     * The secret of an app. The client gets short-lived tokens for it by itself and renews them; the secret itself
     * travels only in {@code IssueToken}.
     *
     * @param app the app whose secret it is
     * @param secret the secret
     * @return the credentials
     */
    static Credentials secret(String app, String secret) {
        return new Secret(app, secret);
    }

    /** No credentials. */
    enum None implements Credentials {
        /** The only one. */
        INSTANCE
    }

    /**
     * A token that stays as it is.
     *
     * @param token what goes behind {@code Bearer}
     */
    record Token(String token) implements Credentials {
        /**
         * Checks that it can be sent.
         *
         * @param token what goes behind {@code Bearer}
         */
        public Token {
            requireSendable(token, "token");
        }

        @Override
        public String toString() {
            return "Token[redacted]";
        }
    }

    /**
     * The secret of an app, for which tokens are got.
     *
     * @param app the app
     * @param secret its secret
     */
    record Secret(String app, String secret) implements Credentials {
        /**
         * Checks that it can be sent.
         *
         * @param app the app
         * @param secret its secret
         */
        public Secret {
            Objects.requireNonNull(app, "app");
            requireSendable(secret, "secret");
        }

        @Override
        public String toString() {
            return "Secret[app=" + app + ", secret=redacted]";
        }
    }

    private static void requireSendable(String text, String what) {
        Objects.requireNonNull(text, what);
        if (text.isEmpty() || !text.chars().allMatch(c -> c > ' ' && c < 0x7f)) {
            throw SemelException.usage(
                    "the " + what + " is empty or holds characters that cannot be sent; check for line breaks");
        }
    }
}
