// The calls about jobs, and running them. One pair of methods for each RPC; none does more than name it.
package dev.semel.client;

import dev.semel.v1.CreateJobRequest;
import dev.semel.v1.CreateJobResponse;
import dev.semel.v1.DeleteJobRequest;
import dev.semel.v1.DeleteJobResponse;
import dev.semel.v1.GetJobRequest;
import dev.semel.v1.GetJobResponse;
import dev.semel.v1.JobServiceGrpc;
import dev.semel.v1.ListJobsRequest;
import dev.semel.v1.ListJobsResponse;
import dev.semel.v1.PauseJobRequest;
import dev.semel.v1.PauseJobResponse;
import dev.semel.v1.ResumeJobRequest;
import dev.semel.v1.ResumeJobResponse;
import dev.semel.v1.RunJobRequest;
import dev.semel.v1.RunJobResponse;
import dev.semel.v1.UpdateJobRequest;
import dev.semel.v1.UpdateJobResponse;
import java.util.concurrent.CompletableFuture;

/** The calls about jobs, and running them. What may be refused, and why, stands in {@code proto/semel/v1/job_service.proto}. */
public interface JobCalls extends Calls {
    /**
     * Creates a job. A mutation.
     *
     * @param request the request
     * @return the answer
     */
    default CreateJobResponse createJob(CreateJobRequest request) {
        return call(JobServiceGrpc.getCreateJobMethod(), request);
    }

    /**
     * The same as {@link #createJob}, without waiting.
     *
     * @param request the request
     * @return the answer to come
     */
    default CompletableFuture<CreateJobResponse> createJobAsync(CreateJobRequest request) {
        return callAsync(JobServiceGrpc.getCreateJobMethod(), request);
    }

    /**
     * Reads a job.
     *
     * @param request the request
     * @return the answer
     */
    default GetJobResponse getJob(GetJobRequest request) {
        return call(JobServiceGrpc.getGetJobMethod(), request);
    }

    /**
     * The same as {@link #getJob}, without waiting.
     *
     * @param request the request
     * @return the answer to come
     */
    default CompletableFuture<GetJobResponse> getJobAsync(GetJobRequest request) {
        return callAsync(JobServiceGrpc.getGetJobMethod(), request);
    }

    /**
     * Lists jobs, by name.
     *
     * @param request the request
     * @return the answer
     */
    default ListJobsResponse listJobs(ListJobsRequest request) {
        return call(JobServiceGrpc.getListJobsMethod(), request);
    }

    /**
     * The same as {@link #listJobs}, without waiting.
     *
     * @param request the request
     * @return the answer to come
     */
    default CompletableFuture<ListJobsResponse> listJobsAsync(ListJobsRequest request) {
        return callAsync(JobServiceGrpc.getListJobsMethod(), request);
    }

    /**
     * Replaces the definition of a job. A mutation.
     *
     * @param request the request
     * @return the answer
     */
    default UpdateJobResponse updateJob(UpdateJobRequest request) {
        return call(JobServiceGrpc.getUpdateJobMethod(), request);
    }

    /**
     * The same as {@link #updateJob}, without waiting.
     *
     * @param request the request
     * @return the answer to come
     */
    default CompletableFuture<UpdateJobResponse> updateJobAsync(UpdateJobRequest request) {
        return callAsync(JobServiceGrpc.getUpdateJobMethod(), request);
    }

    /**
     * Deletes a job that has no unfinished runs. A mutation.
     *
     * @param request the request
     * @return the answer
     */
    default DeleteJobResponse deleteJob(DeleteJobRequest request) {
        return call(JobServiceGrpc.getDeleteJobMethod(), request);
    }

    /**
     * The same as {@link #deleteJob}, without waiting.
     *
     * @param request the request
     * @return the answer to come
     */
    default CompletableFuture<DeleteJobResponse> deleteJobAsync(DeleteJobRequest request) {
        return callAsync(JobServiceGrpc.getDeleteJobMethod(), request);
    }

    /**
     * Holds back the runs of a job. A mutation.
     *
     * @param request the request
     * @return the answer
     */
    default PauseJobResponse pauseJob(PauseJobRequest request) {
        return call(JobServiceGrpc.getPauseJobMethod(), request);
    }

    /**
     * The same as {@link #pauseJob}, without waiting.
     *
     * @param request the request
     * @return the answer to come
     */
    default CompletableFuture<PauseJobResponse> pauseJobAsync(PauseJobRequest request) {
        return callAsync(JobServiceGrpc.getPauseJobMethod(), request);
    }

    /**
     * Lets the runs of a job start again. A mutation.
     *
     * @param request the request
     * @return the answer
     */
    default ResumeJobResponse resumeJob(ResumeJobRequest request) {
        return call(JobServiceGrpc.getResumeJobMethod(), request);
    }

    /**
     * The same as {@link #resumeJob}, without waiting.
     *
     * @param request the request
     * @return the answer to come
     */
    default CompletableFuture<ResumeJobResponse> resumeJobAsync(ResumeJobRequest request) {
        return callAsync(JobServiceGrpc.getResumeJobMethod(), request);
    }

    /**
     * Makes one run of a job, however often the call has to be sent. A mutation.
     *
     * @param request the request
     * @return the answer
     */
    default RunJobResponse runJob(RunJobRequest request) {
        return call(JobServiceGrpc.getRunJobMethod(), request);
    }

    /**
     * The same as {@link #runJob}, without waiting.
     *
     * @param request the request
     * @return the answer to come
     */
    default CompletableFuture<RunJobResponse> runJobAsync(RunJobRequest request) {
        return callAsync(JobServiceGrpc.getRunJobMethod(), request);
    }
}
