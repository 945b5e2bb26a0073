//! A driver as a process: commands go to it, answers come back under their ids, and events by the name of their watch or
//! worker. It owns the process and its bounds; what an answer means is judged elsewhere.

use std::{
    collections::{HashMap, VecDeque},
    io,
    process::Stdio,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin, Command},
    sync::{Mutex as AsyncMutex, mpsc, oneshot},
    task::JoinHandle,
};

use crate::answer::Answer;

/// Lines of standard error that are kept to be shown.
const TAIL_LINES: usize = 20;
/// Events of one watch or worker that may wait to be looked at; a driver that says more is told wrong by the case.
const EVENTS_MAX: usize = 65_536;
/// How long a driver may take to end once its input has.
const END_WITHIN: Duration = Duration::from_secs(5);

/// See the module. The process is killed when this is dropped.
#[derive(Debug)]
pub struct Driver {
    child: AsyncMutex<Child>,
    input: AsyncMutex<Option<ChildStdin>>,
    shared: Arc<Shared>,
    /// Of its standard error.
    reading: AsyncMutex<Option<JoinHandle<()>>>,
    next: AtomicU64,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    events: Mutex<HashMap<String, mpsc::Sender<Value>>>,
    tail: Mutex<VecDeque<String>>,
}

#[derive(Debug, Default)]
struct Waiting {
    answers: HashMap<u64, oneshot::Sender<Answer>>,
    /// Why nothing more will come.
    ended: Option<String>,
}

/// A command under way.
#[derive(Debug)]
pub struct Pending {
    /// Its id, by which it can be cancelled.
    pub id: u64,
    answer: oneshot::Receiver<Answer>,
    came: Option<Answer>,
}

impl Pending {
    /// Its answer, whenever it comes.
    pub async fn answer(mut self) -> Answer {
        self.wait().await
    }

    /// The same for who may have to look again.
    pub async fn wait(&mut self) -> Answer {
        if let Some(answer) = &self.came {
            return answer.clone();
        }
        let gone = || Answer::Fault("the driver ended without an answer".to_owned());
        self.came.insert((&mut self.answer).await.unwrap_or_else(|_| gone())).clone()
    }
}

impl Driver {
    /// Starts a driver by its command line, which is split at spaces.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(command: &str) -> io::Result<Self> {
        let mut words = command.split_whitespace();
        let program = words.next().ok_or_else(|| io::Error::other("a driver's command is empty"))?;
        let mut child = Command::new(program)
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("cannot start {command:?}: {error}")))?;
        let shared = Arc::new(Shared::default());
        let mut reading = None;
        if let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) {
            tokio::spawn(read_answers(out, shared.clone()));
            reading = Some(tokio::spawn(read_tail(err, shared.clone())));
        }
        let (input, reading) = (AsyncMutex::new(child.stdin.take()), AsyncMutex::new(reading));
        Ok(Self { child: AsyncMutex::new(child), input, shared, reading, next: AtomicU64::new(1) })
    }

    /// Sends a command, whose fields these are.
    pub async fn send(&self, op: &str, mut fields: Value) -> Pending {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        fields["id"] = json!(id);
        fields["op"] = json!(op);
        let (sender, answer) = oneshot::channel();
        match &mut *self.shared.waiting() {
            Waiting { ended: Some(why), .. } => {
                let _ = sender.send(Answer::Fault(why.clone()));
            }
            Waiting { answers, ended: None } => {
                answers.insert(id, sender);
            }
        }
        if let Some(input) = self.input.lock().await.as_mut() {
            // A driver that is gone is noticed by its output.
            let _ = input.write_all(format!("{fields}\n").as_bytes()).await;
            let _ = input.flush().await;
        }
        Pending { id, answer, came: None }
    }

    /// Sends a command and waits for its answer.
    pub async fn ask(&self, op: &str, fields: Value) -> Answer {
        self.send(op, fields).await.answer().await
    }

    /// The events of a watch or worker of this name, from now on.
    pub fn events(&self, name: &str) -> mpsc::Receiver<Value> {
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        self.shared.events.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), sender);
        events
    }

    /// Kills it, and gives the last lines of its standard error.
    pub async fn last_words(&self) -> String {
        self.kill().await;
        if let Some(reading) = self.reading.lock().await.take() {
            // What it had started may hold the other end open.
            let _ = tokio::time::timeout(END_WITHIN, reading).await;
        }
        let tail = self.shared.tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.iter().map(|line| format!("    {line}\n")).collect()
    }

    /// Kills it, as a machine does that goes down.
    pub async fn kill(&self) {
        // It may have ended by itself.
        let _ = self.child.lock().await.kill().await;
    }

    /// Ends it as it wants to be ended, and says how that went.
    ///
    /// # Errors
    /// When it does not end, or not well.
    pub async fn end(&self) -> Result<(), String> {
        *self.input.lock().await = None;
        let mut child = self.child.lock().await;
        match tokio::time::timeout(END_WITHIN, child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(format!("the driver ended with {status}")),
            Ok(Err(error)) => Err(format!("the driver cannot be waited for: {error}")),
            Err(_) => {
                let _ = child.kill().await;
                Err("the driver does not end when its input does".to_owned())
            }
        }
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a line to whom it belongs.
    fn take(&self, line: &str) -> Result<(), String> {
        let value: Value = serde_json::from_str(line).map_err(|error| format!("it wrote {line:?}: {error}"))?;
        if let Some(id) = value["id"].as_u64() {
            let answer = Answer::of(&value)?;
            let waiting = self.waiting().answers.remove(&id);
            // Who asked may have gone.
            let _ = waiting.ok_or_else(|| format!("it answered {id}, which nobody asked"))?.send(answer);
            return Ok(());
        }
        let name = value["watch"].as_str().or(value["worker"].as_str());
        let name =
            name.ok_or_else(|| format!("it wrote {line:?}, which is neither an answer nor an event"))?.to_owned();
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        match events.get(&name).map(|sender| sender.try_send(value)) {
            Some(Err(mpsc::error::TrySendError::Full(_))) => Err(format!("it tells too much of {name:?}")),
            // Nobody listens any more.
            _ => Ok(()),
        }
    }

    /// Nothing more will come.
    fn end(&self, why: &str) {
        let mut waiting = self.waiting();
        waiting.ended = Some(why.to_owned());
        for (_, sender) in waiting.answers.drain() {
            let _ = sender.send(Answer::Fault(why.to_owned()));
        }
    }
}

async fn read_answers(out: impl AsyncRead + Unpin, shared: Arc<Shared>) {
    let mut lines = BufReader::new(out).lines();
    loop {
        match lines.next_line().await {
            Ok(Some(line)) => {
                if let Err(why) = shared.take(&line) {
                    return shared.end(&format!("the driver breaks its protocol: {why}"));
                }
            }
            Ok(None) => return shared.end("the driver has ended"),
            Err(error) => return shared.end(&format!("the driver cannot be read: {error}")),
        }
    }
}

async fn read_tail(err: impl AsyncRead + Unpin, shared: Arc<Shared>) {
    let mut lines = BufReader::new(err).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let mut tail = shared.tail.lock().unwrap_or_else(PoisonError::into_inner);
        if tail.len() == TAIL_LINES {
            tail.pop_front();
        }
        tail.push_back(line);
    }
}
