// What all parts of a client share. It wires them together and decides nothing.
package dev.semel.client.internal;

import dev.semel.v1.ClientInfo;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;

/** What all parts of a client share. */
public final class Core implements AutoCloseable {
    private final Settings settings;
    private final Threads threads = new Threads();
    private final RequestIds ids = new RequestIds();
    private final ServerClock clock;
    private final Transport transport;
    private final Auth auth;
    private final ClientInfo clientInfo;
    private final Set<AutoCloseable> open = ConcurrentHashMap.newKeySet();
    private volatile boolean closed;

    /** Sets everything up; nothing is sent. */
    public Core(Settings settings) {
        this.settings = settings;
        clock = new ServerClock(settings.clock());
        transport = new Transport(settings, threads, clock);
        auth = new Auth(this, settings.credentials());
        clientInfo = ClientInfo.newBuilder()
                .setName(settings.clientName())
                .setVersion(Version.CLIENT)
                .setLanguage("java")
                .build();
    }

    /** What the client was set up with. */
    public Settings settings() {
        return settings;
    }

    /** Its threads. */
    public Threads threads() {
        return threads;
    }

    /** The server's clock. */
    public ServerClock clock() {
        return clock;
    }

    /** Its connections. */
    public Transport transport() {
        return transport;
    }

    /** Its credentials. */
    public Auth auth() {
        return auth;
    }

    /** Who it says that it is. */
    public ClientInfo clientInfo() {
        return clientInfo;
    }

    /** A fresh id, by the server's clock. */
    public UUID mint() {
        return ids.mint(clock.millis());
    }

    /** Whether the client was closed. */
    public boolean isClosed() {
        return closed;
    }

    /** Takes note of something that ends with the client. */
    public void adopt(AutoCloseable part) {
        open.add(part);
        if (closed) {
            end(part);
        }
    }

    /** Something has ended by itself. */
    public void release(AutoCloseable part) {
        open.remove(part);
    }

    @Override
    public void close() {
        closed = true;
        open.forEach(this::end);
        transport.close();
        threads.close();
    }

    private void end(AutoCloseable part) {
        open.remove(part);
        try {
            part.close();
        } catch (Exception failure) {
            System.getLogger(Core.class.getName()).log(System.Logger.Level.WARNING, "closing a part failed", failure);
        }
    }
}
