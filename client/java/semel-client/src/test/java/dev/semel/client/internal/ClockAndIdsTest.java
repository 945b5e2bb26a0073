package dev.semel.client.internal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import com.google.protobuf.Timestamp;
import dev.semel.client.Credentials;
import dev.semel.v1.IssueTokenResponse;
import dev.semel.v1.ResponseHeader;
import java.time.Clock;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneOffset;
import java.util.Random;
import java.util.UUID;
import org.junit.jupiter.api.Test;

class ClockAndIdsTest {
    private static ResponseHeader at(long seconds) {
        return ResponseHeader.newBuilder()
                .setServerTime(Timestamp.newBuilder().setSeconds(seconds))
                .build();
    }

    private static ServerClock local(long seconds) {
        return new ServerClock(Clock.fixed(Instant.ofEpochSecond(seconds), ZoneOffset.UTC));
    }

    @Test
    void itFollowsAServerThatIsAheadAndOneThatIsBehind() {
        ServerClock clock = local(1000);
        assertEquals(1_000_000, clock.millis());
        clock.learn(at(1060), 0);
        assertEquals(1_060_000, clock.millis());
        clock.learn(at(940), 0);
        assertEquals(940_000, clock.millis());
    }

    @Test
    void theServerAnsweredHalfWay() {
        ServerClock clock = local(1000);
        clock.learn(at(1060), Duration.ofSeconds(4).toNanos());
        assertEquals(1_062_000, clock.millis());
    }

    @Test
    void aHeaderWithoutATimeTeachesNothing() {
        ServerClock clock = local(1000);
        clock.learn(ResponseHeader.getDefaultInstance(), 0);
        assertEquals(1_000_000, clock.millis());
    }

    @Test
    void anIdIsTheVectorOfTheStandard() {
        // RFC 9562, appendix A.6: 12 bits 0xCC3 and 62 bits 0x18C4DC0C0C07398F.
        byte[] bits = {0x0C, (byte) 0xC3, 0x18, (byte) 0xC4, (byte) 0xDC, 0x0C, 0x0C, 0x07, 0x39, (byte) 0x8F};
        Random given = new Random() {
            private static final long serialVersionUID = 1L;

            @Override
            public void nextBytes(byte[] into) {
                System.arraycopy(bits, 0, into, 0, into.length);
            }
        };
        UUID id = new RequestIds(given).mint(0x017F22E279B0L);
        assertEquals(UUID.fromString("017F22E2-79B0-7CC3-98C4-DC0C0C07398F"), id);
    }

    @Test
    void idsOfOneTimeDifferAndTheTimeMayGoBack() {
        RequestIds ids = new RequestIds();
        assertNotEquals(ids.mint(5_000_000), ids.mint(5_000_000));
        UUID earlier = ids.mint(1);
        assertEquals(1, earlier.getMostSignificantBits() >>> 16);
        assertEquals(7, earlier.version());
        assertEquals(2, earlier.variant());
    }

    @Test
    void aTokensLifeIsMeasuredByTheServersClock() {
        IssueTokenResponse answer = IssueTokenResponse.newBuilder()
                .setHeader(at(100))
                .setExpireTime(Timestamp.newBuilder().setSeconds(160))
                .build();
        assertEquals(Duration.ofSeconds(60), Auth.lifetime(answer));
    }

    @Test
    void secretsDoNotShow() {
        String shown = Credentials.token("hush") + " " + Credentials.secret("pay", "hush") + " "
                + Signature.of("hush", 1, null);
        assertEquals(-1, shown.indexOf("hush"), shown);
    }
}
