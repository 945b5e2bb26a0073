/** What is generated from the protocol: messages, enums and services of `semel.v1`, and `google.rpc.Status`. */

export { type Status, StatusSchema } from "./gen/google/rpc/status_pb.js";
export * from "./gen/semel/v1/app_pb.js";
export * from "./gen/semel/v1/app_service_pb.js";
export * from "./gen/semel/v1/auth_service_pb.js";
export * from "./gen/semel/v1/event_pb.js";
export * from "./gen/semel/v1/header_pb.js";
export * from "./gen/semel/v1/job_pb.js";
export * from "./gen/semel/v1/job_service_pb.js";
export * from "./gen/semel/v1/request_service_pb.js";
export * from "./gen/semel/v1/run_pb.js";
export * from "./gen/semel/v1/run_service_pb.js";
export * from "./gen/semel/v1/server_service_pb.js";
export * from "./gen/semel/v1/trigger_pb.js";
export * from "./gen/semel/v1/trigger_service_pb.js";
export * from "./gen/semel/v1/watch_service_pb.js";
export * from "./gen/semel/v1/worker_pb.js";
export * from "./gen/semel/v1/worker_service_pb.js";
