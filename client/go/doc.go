// Package semel is the Go client of Semel, a job scheduler in which a call that was made once takes effect once,
// however often it arrives.
//
// A [Client] makes the calls of the protocol, one method for each RPC, with the messages of package
// [semel.dev/go/semelv1]. Each logical call bears one request id, minted before anything is sent and kept by every
// retry, so that sending again is always safe. [Client.SubmitMany] makes many runs over one stream, [Client.Watch] tells
// what happens and goes on by itself over lost connections, [Client.Wait] waits for a run's end, and a [Worker] takes
// runs and gives them to handlers.
//
// The context of a call bounds it over all its attempts: its deadline, or the overall timeout (60 s unless
// [WithOverallTimeout] says otherwise), whichever comes first. A call that ends by its context takes nothing back on the
// server: what became of it is found under its request id, by [Client.GetRequest], or by sending it again under that id.
//
// Every error of a call is an [*Error]:
//
//	var refused *semel.Error
//	if errors.As(err, &refused) && refused.Reason == "NOT_FOUND" { … }
package semel
