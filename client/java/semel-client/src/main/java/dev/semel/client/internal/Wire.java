// The fields that requests and answers have in common, reached by the protocol's own description of them. It knows
// where
// things stand in messages and nothing of what follows from them.
package dev.semel.client.internal;

import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Message;
import dev.semel.v1.ClientInfo;
import dev.semel.v1.GetRunLogsRequest;
import dev.semel.v1.IssueTokenRequest;
import dev.semel.v1.RequestHeader;
import dev.semel.v1.ResponseHeader;
import dev.semel.v1.WaitRunRequest;
import java.time.Duration;
import java.util.Set;

/** The fields that requests and answers have in common. */
public final class Wire {
    /** The longest time for which a server waits, and how long it waits for a run if the request does not say. */
    private static final Duration SERVER_WAIT_MAX = Duration.ofSeconds(60);
    /** Requests whose app is what they change: it has to be named. */
    private static final Set<String> NAMED_APPS = Set.of("CreateAppRequest", "UpdateAppRequest", "DeleteAppRequest");

    private Wire() {}

    /** Whether a header shows that a Semel server spoke. A verdict that this client does not know yet counts. */
    public static boolean spoke(ResponseHeader header) {
        return header != null && header.getAuth().getStatusValue() != 0;
    }

    /** The header of an answer; null if it has none. */
    public static ResponseHeader header(Message answer) {
        FieldDescriptor field = answer.getDescriptorForType().findFieldByName("header");
        return field != null && answer.hasField(field) && answer.getField(field) instanceof ResponseHeader header
                ? header
                : null;
    }

    /** The header of a request; an empty one if it has none. */
    public static RequestHeader requestHeader(Message request) {
        FieldDescriptor field = request.getDescriptorForType().findFieldByName("header");
        return field != null && request.getField(field) instanceof RequestHeader header
                ? header
                : RequestHeader.getDefaultInstance();
    }

    /** The request under this id, and about this app, where it has a place for the caller's app and names none. */
    @SuppressWarnings("unchecked") // A builder builds what it was made of.
    public static <Q extends Message> Q complete(Q request, String app, String requestId) {
        Message.Builder complete = request.toBuilder();
        FieldDescriptor header = request.getDescriptorForType().findFieldByName("header");
        if (header != null) {
            RequestHeader given = (RequestHeader) request.getField(header);
            complete.setField(header, given.toBuilder().setRequestId(requestId).build());
        }
        FieldDescriptor place = request.getDescriptorForType().findFieldByName("app");
        boolean open = !app.isEmpty()
                && place != null
                && place.getJavaType() == FieldDescriptor.JavaType.STRING
                && !NAMED_APPS.contains(request.getDescriptorForType().getName())
                && "".equals(request.getField(place));
        return (Q) (open ? complete.setField(place, app) : complete).build();
    }

    /** The request with who sends it, unless it says so itself. */
    @SuppressWarnings("unchecked") // A builder builds what it was made of.
    public static <Q extends Message> Q from(Q request, ClientInfo sender) {
        RequestHeader header = requestHeader(request);
        FieldDescriptor field = request.getDescriptorForType().findFieldByName("header");
        if (field == null || header.hasClient()) {
            return request;
        }
        RequestHeader signed = header.toBuilder().setClient(sender).build();
        return (Q) request.toBuilder().setField(field, signed).build();
    }

    /** How long a request asks the server to wait before it answers. */
    public static Duration serverWait(Message request) {
        if (request instanceof WaitRunRequest wait) {
            return wait.hasTimeout() ? Times.min(Times.of(wait.getTimeout()), SERVER_WAIT_MAX) : SERVER_WAIT_MAX;
        }
        if (request instanceof GetRunLogsRequest logs && logs.hasWait()) {
            return Times.min(Times.of(logs.getWait()), SERVER_WAIT_MAX);
        }
        return Duration.ZERO;
    }

    /** Whether the request itself holds the credentials, so that it is sent without any others. */
    public static boolean holdsCredentials(Message request) {
        return request instanceof IssueTokenRequest issue && !issue.getSecret().isEmpty();
    }
}
