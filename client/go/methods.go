package semel

// The unary methods of the protocol, one each. What a method accepts, changes and refuses with stands at its RPC in
// package semelv1. The caller's request is never changed; its header may be left out. Nothing here sends anything.

import (
	"context"

	"semel.dev/go/semelv1"
)

// IssueToken issues a token for the secret of an app. Where the client has a secret ([WithSecret]), app and secret may
// be left out.
func (c *Client) IssueToken(ctx context.Context, request *semelv1.IssueTokenRequest, options ...CallOption) (*semelv1.IssueTokenResponse, error) {
	return call[semelv1.IssueTokenResponse](ctx, c, semelv1.AuthService_IssueToken_FullMethodName, request, options)
}

// CheckAuth says what the server makes of the client's credentials.
func (c *Client) CheckAuth(ctx context.Context, request *semelv1.CheckAuthRequest, options ...CallOption) (*semelv1.CheckAuthResponse, error) {
	return call[semelv1.CheckAuthResponse](ctx, c, semelv1.AuthService_CheckAuth_FullMethodName, request, options)
}

// RevokeToken takes back one token, or all tokens of an app. A mutation.
func (c *Client) RevokeToken(ctx context.Context, request *semelv1.RevokeTokenRequest, options ...CallOption) (*semelv1.RevokeTokenResponse, error) {
	return call[semelv1.RevokeTokenResponse](ctx, c, semelv1.AuthService_RevokeToken_FullMethodName, request, options)
}

// CreateApp creates an app. A mutation; the app must be named.
func (c *Client) CreateApp(ctx context.Context, request *semelv1.CreateAppRequest, options ...CallOption) (*semelv1.CreateAppResponse, error) {
	return call[semelv1.CreateAppResponse](ctx, c, semelv1.AppService_CreateApp_FullMethodName, request, options)
}

// GetApp reads an app.
func (c *Client) GetApp(ctx context.Context, request *semelv1.GetAppRequest, options ...CallOption) (*semelv1.GetAppResponse, error) {
	return call[semelv1.GetAppResponse](ctx, c, semelv1.AppService_GetApp_FullMethodName, request, options)
}

// ListApps lists apps.
func (c *Client) ListApps(ctx context.Context, request *semelv1.ListAppsRequest, options ...CallOption) (*semelv1.ListAppsResponse, error) {
	return call[semelv1.ListAppsResponse](ctx, c, semelv1.AppService_ListApps_FullMethodName, request, options)
}

// UpdateApp replaces description and grants of an app. A mutation; the app must be named.
func (c *Client) UpdateApp(ctx context.Context, request *semelv1.UpdateAppRequest, options ...CallOption) (*semelv1.UpdateAppResponse, error) {
	return call[semelv1.UpdateAppResponse](ctx, c, semelv1.AppService_UpdateApp_FullMethodName, request, options)
}

// DeleteApp deletes an app. A mutation; the app must be named.
func (c *Client) DeleteApp(ctx context.Context, request *semelv1.DeleteAppRequest, options ...CallOption) (*semelv1.DeleteAppResponse, error) {
	return call[semelv1.DeleteAppResponse](ctx, c, semelv1.AppService_DeleteApp_FullMethodName, request, options)
}

// RotateAppSecret makes a new secret for an app. A mutation.
func (c *Client) RotateAppSecret(ctx context.Context, request *semelv1.RotateAppSecretRequest, options ...CallOption) (*semelv1.RotateAppSecretResponse, error) {
	return call[semelv1.RotateAppSecretResponse](ctx, c, semelv1.AppService_RotateAppSecret_FullMethodName, request, options)
}

// CreateJob creates a job. A mutation.
func (c *Client) CreateJob(ctx context.Context, request *semelv1.CreateJobRequest, options ...CallOption) (*semelv1.CreateJobResponse, error) {
	return call[semelv1.CreateJobResponse](ctx, c, semelv1.JobService_CreateJob_FullMethodName, request, options)
}

// GetJob reads a job.
func (c *Client) GetJob(ctx context.Context, request *semelv1.GetJobRequest, options ...CallOption) (*semelv1.GetJobResponse, error) {
	return call[semelv1.GetJobResponse](ctx, c, semelv1.JobService_GetJob_FullMethodName, request, options)
}

// ListJobs lists jobs.
func (c *Client) ListJobs(ctx context.Context, request *semelv1.ListJobsRequest, options ...CallOption) (*semelv1.ListJobsResponse, error) {
	return call[semelv1.ListJobsResponse](ctx, c, semelv1.JobService_ListJobs_FullMethodName, request, options)
}

// UpdateJob replaces the definition of a job. A mutation.
func (c *Client) UpdateJob(ctx context.Context, request *semelv1.UpdateJobRequest, options ...CallOption) (*semelv1.UpdateJobResponse, error) {
	return call[semelv1.UpdateJobResponse](ctx, c, semelv1.JobService_UpdateJob_FullMethodName, request, options)
}

// DeleteJob deletes a job. A mutation.
func (c *Client) DeleteJob(ctx context.Context, request *semelv1.DeleteJobRequest, options ...CallOption) (*semelv1.DeleteJobResponse, error) {
	return call[semelv1.DeleteJobResponse](ctx, c, semelv1.JobService_DeleteJob_FullMethodName, request, options)
}

// PauseJob holds back the runs of a job. A mutation.
func (c *Client) PauseJob(ctx context.Context, request *semelv1.PauseJobRequest, options ...CallOption) (*semelv1.PauseJobResponse, error) {
	return call[semelv1.PauseJobResponse](ctx, c, semelv1.JobService_PauseJob_FullMethodName, request, options)
}

// ResumeJob lets the runs of a job start again. A mutation.
func (c *Client) ResumeJob(ctx context.Context, request *semelv1.ResumeJobRequest, options ...CallOption) (*semelv1.ResumeJobResponse, error) {
	return call[semelv1.ResumeJobResponse](ctx, c, semelv1.JobService_ResumeJob_FullMethodName, request, options)
}

// GetTrigger reads a trigger.
func (c *Client) GetTrigger(ctx context.Context, request *semelv1.GetTriggerRequest, options ...CallOption) (*semelv1.GetTriggerResponse, error) {
	return call[semelv1.GetTriggerResponse](ctx, c, semelv1.TriggerService_GetTrigger_FullMethodName, request, options)
}

// ListTriggers lists triggers.
func (c *Client) ListTriggers(ctx context.Context, request *semelv1.ListTriggersRequest, options ...CallOption) (*semelv1.ListTriggersResponse, error) {
	return call[semelv1.ListTriggersResponse](ctx, c, semelv1.TriggerService_ListTriggers_FullMethodName, request, options)
}

// PreviewTrigger says when a trigger would fire.
func (c *Client) PreviewTrigger(ctx context.Context, request *semelv1.PreviewTriggerRequest, options ...CallOption) (*semelv1.PreviewTriggerResponse, error) {
	return call[semelv1.PreviewTriggerResponse](ctx, c, semelv1.TriggerService_PreviewTrigger_FullMethodName, request, options)
}

// PauseTrigger keeps a trigger from firing. A mutation.
func (c *Client) PauseTrigger(ctx context.Context, request *semelv1.PauseTriggerRequest, options ...CallOption) (*semelv1.PauseTriggerResponse, error) {
	return call[semelv1.PauseTriggerResponse](ctx, c, semelv1.TriggerService_PauseTrigger_FullMethodName, request, options)
}

// ResumeTrigger lets a trigger fire again. A mutation.
func (c *Client) ResumeTrigger(ctx context.Context, request *semelv1.ResumeTriggerRequest, options ...CallOption) (*semelv1.ResumeTriggerResponse, error) {
	return call[semelv1.ResumeTriggerResponse](ctx, c, semelv1.TriggerService_ResumeTrigger_FullMethodName, request, options)
}

// FireTrigger fires a trigger now. A mutation.
func (c *Client) FireTrigger(ctx context.Context, request *semelv1.FireTriggerRequest, options ...CallOption) (*semelv1.FireTriggerResponse, error) {
	return call[semelv1.FireTriggerResponse](ctx, c, semelv1.TriggerService_FireTrigger_FullMethodName, request, options)
}

// BackfillTrigger makes up for times of a trigger that passed. A mutation.
func (c *Client) BackfillTrigger(ctx context.Context, request *semelv1.BackfillTriggerRequest, options ...CallOption) (*semelv1.BackfillTriggerResponse, error) {
	return call[semelv1.BackfillTriggerResponse](ctx, c, semelv1.TriggerService_BackfillTrigger_FullMethodName, request, options)
}

// CancelBackfill ends the backfill of a trigger. A mutation.
func (c *Client) CancelBackfill(ctx context.Context, request *semelv1.CancelBackfillRequest, options ...CallOption) (*semelv1.CancelBackfillResponse, error) {
	return call[semelv1.CancelBackfillResponse](ctx, c, semelv1.TriggerService_CancelBackfill_FullMethodName, request, options)
}

// RunJob makes one run of a job, however often the call has to be sent. A mutation. See also [Client.SubmitMany].
func (c *Client) RunJob(ctx context.Context, request *semelv1.RunJobRequest, options ...CallOption) (*semelv1.RunJobResponse, error) {
	return call[semelv1.RunJobResponse](ctx, c, semelv1.JobService_RunJob_FullMethodName, request, options)
}

// GetRun reads a run, with its input and result.
func (c *Client) GetRun(ctx context.Context, request *semelv1.GetRunRequest, options ...CallOption) (*semelv1.GetRunResponse, error) {
	return call[semelv1.GetRunResponse](ctx, c, semelv1.RunService_GetRun_FullMethodName, request, options)
}

// ListRuns lists runs.
func (c *Client) ListRuns(ctx context.Context, request *semelv1.ListRunsRequest, options ...CallOption) (*semelv1.ListRunsResponse, error) {
	return call[semelv1.ListRunsResponse](ctx, c, semelv1.RunService_ListRuns_FullMethodName, request, options)
}

// CancelRun asks a run to stop. A mutation.
func (c *Client) CancelRun(ctx context.Context, request *semelv1.CancelRunRequest, options ...CallOption) (*semelv1.CancelRunResponse, error) {
	return call[semelv1.CancelRunResponse](ctx, c, semelv1.RunService_CancelRun_FullMethodName, request, options)
}

// RetryRun runs it again. A mutation.
func (c *Client) RetryRun(ctx context.Context, request *semelv1.RetryRunRequest, options ...CallOption) (*semelv1.RetryRunResponse, error) {
	return call[semelv1.RetryRunResponse](ctx, c, semelv1.RunService_RetryRun_FullMethodName, request, options)
}

// WaitRun waits until a run has ended, or for a time; see also [Client.Wait].
func (c *Client) WaitRun(ctx context.Context, request *semelv1.WaitRunRequest, options ...CallOption) (*semelv1.WaitRunResponse, error) {
	return call[semelv1.WaitRunResponse](ctx, c, semelv1.RunService_WaitRun_FullMethodName, request, options)
}

// ExplainRun says why a run is where it is.
func (c *Client) ExplainRun(ctx context.Context, request *semelv1.ExplainRunRequest, options ...CallOption) (*semelv1.ExplainRunResponse, error) {
	return call[semelv1.ExplainRunResponse](ctx, c, semelv1.RunService_ExplainRun_FullMethodName, request, options)
}

// GetRunLogs reads the log of a run.
func (c *Client) GetRunLogs(ctx context.Context, request *semelv1.GetRunLogsRequest, options ...CallOption) (*semelv1.GetRunLogsResponse, error) {
	return call[semelv1.GetRunLogsResponse](ctx, c, semelv1.RunService_GetRunLogs_FullMethodName, request, options)
}

// GetRequest says what became of a request.
func (c *Client) GetRequest(ctx context.Context, request *semelv1.GetRequestRequest, options ...CallOption) (*semelv1.GetRequestResponse, error) {
	return call[semelv1.GetRequestResponse](ctx, c, semelv1.RequestService_GetRequest_FullMethodName, request, options)
}

// ListRequests lists the requests that took effect within the window.
func (c *Client) ListRequests(ctx context.Context, request *semelv1.ListRequestsRequest, options ...CallOption) (*semelv1.ListRequestsResponse, error) {
	return call[semelv1.ListRequestsResponse](ctx, c, semelv1.RequestService_ListRequests_FullMethodName, request, options)
}

// GetServerInfo says what a client needs to know of the server: its window, its limits, its clock.
func (c *Client) GetServerInfo(ctx context.Context, request *semelv1.GetServerInfoRequest, options ...CallOption) (*semelv1.GetServerInfoResponse, error) {
	return call[semelv1.GetServerInfoResponse](ctx, c, semelv1.ServerService_GetServerInfo_FullMethodName, request, options)
}
