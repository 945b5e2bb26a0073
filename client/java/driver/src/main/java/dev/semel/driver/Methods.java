// The unary methods of the protocol by name, from what the generator wrote down of them.
package dev.semel.driver;

import com.google.protobuf.Descriptors.FileDescriptor;
import com.google.protobuf.Message;
import dev.semel.v1.AppServiceGrpc;
import dev.semel.v1.AuthServiceGrpc;
import dev.semel.v1.JobServiceGrpc;
import dev.semel.v1.RequestServiceGrpc;
import dev.semel.v1.RunServiceGrpc;
import dev.semel.v1.ServerServiceGrpc;
import dev.semel.v1.TriggerServiceGrpc;
import dev.semel.v1.WatchServiceGrpc;
import dev.semel.v1.WorkerServiceGrpc;
import io.grpc.MethodDescriptor;
import io.grpc.ServiceDescriptor;
import io.grpc.protobuf.ProtoFileDescriptorSupplier;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** The unary methods of the protocol. */
final class Methods {
    private static final List<ServiceDescriptor> SERVICES = List.of(
            AppServiceGrpc.getServiceDescriptor(),
            AuthServiceGrpc.getServiceDescriptor(),
            JobServiceGrpc.getServiceDescriptor(),
            RequestServiceGrpc.getServiceDescriptor(),
            RunServiceGrpc.getServiceDescriptor(),
            ServerServiceGrpc.getServiceDescriptor(),
            TriggerServiceGrpc.getServiceDescriptor(),
            WatchServiceGrpc.getServiceDescriptor(),
            WorkerServiceGrpc.getServiceDescriptor());
    private static final Map<String, MethodDescriptor<Message, Message>> UNARY = unary();

    private Methods() {}

    @SuppressWarnings("unchecked") // All messages of the protocol are Messages.
    private static Map<String, MethodDescriptor<Message, Message>> unary() {
        Map<String, MethodDescriptor<Message, Message>> unary = new HashMap<>();
        for (ServiceDescriptor service : SERVICES) {
            for (MethodDescriptor<?, ?> method : service.getMethods()) {
                if (method.getType() == MethodDescriptor.MethodType.UNARY) {
                    unary.put(method.getBareMethodName(), (MethodDescriptor<Message, Message>) method);
                }
            }
        }
        return unary;
    }

    /** The files that the services stand in. */
    static List<FileDescriptor> files() {
        return SERVICES.stream()
                .map(service -> ((ProtoFileDescriptorSupplier) service.getSchemaDescriptor()).getFileDescriptor())
                .toList();
    }

    /** The method of a name, for instance {@code RunJob}. */
    static MethodDescriptor<Message, Message> named(String name) {
        MethodDescriptor<Message, Message> method = UNARY.get(name);
        if (method == null) {
            throw new IllegalArgumentException("no unary method " + name);
        }
        return method;
    }

    /** An empty request of a method. */
    static Message request(MethodDescriptor<Message, Message> method) {
        var marshaller = (MethodDescriptor.PrototypeMarshaller<Message>) method.getRequestMarshaller();
        return marshaller.getMessagePrototype();
    }
}
