//! A client of a driver's, as a case uses it: calls, runs, and many of them. It keeps the ledger of what was asked and told.

use std::sync::Arc;

use semel_proto::v1;
use serde_json::{Value, json};

use crate::{
    answer::{Answer, Failed, Short, Verdict, claim, gap},
    driver::{Driver, Pending},
    ground::JOB,
    json,
    ledger::Ledger,
};

/// A client of a driver's.
#[derive(Clone, Debug)]
pub struct Client {
    driver: Arc<Driver>,
    name: String,
    ledger: Ledger,
}

/// A call that went well.
#[derive(Clone, Debug)]
pub struct Made {
    /// Its id, as the driver tells it.
    pub request_id: String,
    /// The response.
    pub response: v1::RunJobResponse,
}

impl Made {
    /// The server has seen its id so often.
    ///
    /// # Errors
    /// When it has not.
    pub fn has_come(&self, times: i64) -> Verdict {
        let arrivals = self.response.header.as_ref().map_or(0, |header| header.arrivals);
        claim(arrivals >= times, || format!("expected the id to have come {times} times, it came {arrivals} times"))
    }
}

impl Client {
    pub(crate) fn new(driver: Arc<Driver>, name: String, ledger: Ledger) -> Self {
        Self { driver, name, ledger }
    }

    /// Asks the driver for something of this client.
    pub async fn ask(&self, op: &str, mut fields: Value) -> Answer {
        fields["client"] = json!(self.name);
        self.driver.ask(op, fields).await
    }

    /// The same without waiting for the answer.
    pub async fn send(&self, op: &str, mut fields: Value) -> Pending {
        fields["client"] = json!(self.name);
        self.driver.send(op, fields).await
    }

    /// Its driver.
    pub fn driver(&self) -> &Arc<Driver> {
        &self.driver
    }

    /// Mints an id.
    ///
    /// # Errors
    /// When it does not.
    pub async fn mint(&self) -> Verdict<String> {
        let ok = self.ask("mint", json!({})).await.ok()?;
        ok["request_id"].as_str().map_or_else(|| gap(format!("expected an id, got {ok}")), |id| Ok(id.to_owned()))
    }

    /// Any unary call.
    pub async fn call(&self, method: &str, request: Value, more: Value) -> Answer {
        let pending = self.start(method, request, more).await;
        pending.answer().await
    }

    /// The same without waiting for the answer.
    pub async fn start(&self, method: &str, request: Value, more: Value) -> Pending {
        let mut fields = json!({"method": method, "request": request});
        if let (Some(fields), Value::Object(more)) = (fields.as_object_mut(), more) {
            fields.extend(more);
        }
        if method == "RunJob" {
            self.ledger.asked(fields["request_id"].as_str());
        }
        self.send("call", fields).await
    }

    /// Asks for a run of the job, and gives what the driver says.
    pub async fn run(&self, more: Value) -> Answer {
        let pending = self.start_run(more).await;
        self.told(pending.answer().await)
    }

    /// The same without waiting: the answer is to be shown to [`Client::told`].
    pub async fn start_run(&self, more: Value) -> Pending {
        self.start("RunJob", json!({"job": JOB}), more).await
    }

    /// Takes note of a run that the client was told of.
    pub fn told(&self, answer: Answer) -> Answer {
        if let Answer::Ok(ok) = &answer {
            let run_id = ok["response"]["run_id"].as_str().or(ok["response"]["runId"].as_str());
            self.ledger.told([run_id.unwrap_or_default().to_owned()]);
        }
        answer
    }

    /// Asks for a run, which must be made.
    ///
    /// # Errors
    /// When it is not.
    pub async fn made(&self, more: Value) -> Verdict<Made> {
        made(self.run(more).await)
    }

    /// Asks for a run, which must be refused.
    ///
    /// # Errors
    /// When it is not.
    pub async fn refused(&self, more: Value) -> Verdict<Failed> {
        self.run(more).await.failed()
    }

    /// Many runs at once, by `call_many` or `submit_many`.
    ///
    /// # Errors
    /// When the driver does not give a result for each.
    pub async fn many(&self, op: &str, count: u64, mut more: Value) -> Verdict<Vec<Value>> {
        self.ledger.may_happen(count);
        let request = more.as_object_mut().and_then(|more| more.remove("request"));
        more["request"] = request.unwrap_or_else(|| json!({"job": JOB}));
        more["count"] = json!(count);
        let ok = self.ask(op, more).await.ok()?;
        let results = ok["results"].as_array().cloned().unwrap_or_default();
        claim(results.len() as u64 == count, || format!("expected {count} results, got {}", results.len()))?;
        let told = results.iter().filter(|result| result.get("error").is_none());
        let told = told.map(|result| result["run_id"].as_str().unwrap_or_default().to_owned());
        self.ledger.told(told);
        Ok(results)
    }
}

/// A run that was made, out of an answer.
///
/// # Errors
/// When it went otherwise, or the answer is not whole: an id that is not that of its header, no run, no verdict on the
/// credentials.
pub fn made(answer: Answer) -> Verdict<Made> {
    let ok = answer.clone().ok()?;
    let response: v1::RunJobResponse = json::to("RunJobResponse", &ok["response"]).map_err(Short::Gap)?;
    let request_id = ok["request_id"].as_str().unwrap_or_default().to_owned();
    let header = response.header.clone().unwrap_or_default();
    claim(header.request_id.eq_ignore_ascii_case(&request_id), || {
        format!("expected the id {request_id:?} in the header, got {:?}", header.request_id)
    })?;
    claim(!response.run_id.is_empty(), || format!("expected a run, got {ok}"))?;
    claim(header.auth.as_ref().is_some_and(|auth| auth.status != 0), || {
        format!("expected a verdict on the credentials, got {ok}")
    })?;
    Ok(Made { request_id, response })
}
