//! Runs the cases of each client, each within its time, and makes a cell of how it went. It decides what counts as a gap;
//! what a case is about is the case's.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::json;
use tokio::sync::Mutex as AsyncMutex;

use crate::{
    answer::{Answer, Short, Verdict},
    case::{CASE_WITHIN, Case, Cx},
    cases::{self, Theme},
    driver::Driver,
};

/// How long a driver may take to come up.
const HELLO_WITHIN: Duration = Duration::from_secs(30);

/// The column of the bare generated stub, which is held to safety alone.
pub const STUB: &str = "stub";

/// A client and the command that starts its driver.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name, the head of its column.
    pub name: String,
    /// The command.
    pub command: String,
}

impl std::str::FromStr for Column {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, command)) if !name.is_empty() && !command.trim().is_empty() => {
                Ok(Self { name: name.to_owned(), command: command.trim().to_owned() })
            }
            _ => Err(format!("{text:?} is not NAME=DRIVER_COMMAND")),
        }
    }
}

/// What became of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    /// All of it.
    Holds,
    /// Not all of it, but the caller was told, and nothing happened twice: for the stub alone.
    Safe(String),
    /// The client has no such thing.
    Unsupported(String),
    /// Something was taken for true that is not, or nothing was told at all: for the stub alone, where it cannot do better.
    Unsafe(String),
    /// It does not hold.
    Fails(String),
}

/// One cell with its place.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The client.
    pub client: String,
    /// The theme of the case.
    pub theme: &'static str,
    /// The case.
    pub case: Case,
    /// How it went.
    pub cell: Cell,
    /// Whether the server has what was told, and no more: see [`Cx::judge_safety`].
    pub is_sound: bool,
}

impl Entry {
    /// Whether this is what must not be.
    pub fn is_gap(&self) -> bool {
        match self.cell {
            Cell::Holds => false,
            Cell::Safe(_) | Cell::Unsafe(_) | Cell::Unsupported(_) => self.client != STUB,
            Cell::Fails(_) => true,
        }
    }
}

/// Runs the cases whose theme and name contain the filter, for each client, so many at a time.
pub async fn run(columns: &[Column], filter: &str, lanes: usize) -> Vec<Entry> {
    let mut results = Vec::new();
    for column in columns {
        results.extend(run_column(column, filter, lanes).await);
    }
    results
}

async fn run_column(column: &Column, filter: &str, lanes: usize) -> Vec<Entry> {
    let chosen: Vec<(usize, &'static Theme, Case)> = cases::THEMES
        .iter()
        .flat_map(|theme| theme.cases.iter().map(move |case| (theme, *case)))
        .filter(|(theme, case)| format!("{}/{}", theme.name, case.name).contains(filter))
        .enumerate()
        .map(|(number, (theme, case))| (number, theme, case))
        .collect();
    if let Err(why) = answers(column).await {
        eprintln!("{}: {why}", column.name);
        let fails = |(_, theme, case): &(usize, &'static Theme, Case)| {
            let (client, cell) = (column.name.clone(), Cell::Fails(why.clone()));
            Entry { client, theme: theme.name, case: *case, cell, is_sound: false }
        };
        return chosen.iter().map(fails).collect();
    }
    let line = Arc::new(AsyncMutex::new(chosen.into_iter()));
    let results = Arc::new(Mutex::new(Vec::new()));
    let lanes = (0..lanes.max(1)).map(|_| tokio::spawn(lane(column.clone(), line.clone(), results.clone())));
    for lane in lanes.collect::<Vec<_>>() {
        lane.await.expect("a lane does not panic");
    }
    let mut results = std::mem::take(&mut *results.lock().unwrap_or_else(PoisonError::into_inner));
    results.sort_by_key(|(number, _)| *number);
    let mut entries = Vec::new();
    for (_, mut entry) in results {
        if entry.is_gap() && entry.is_sound {
            look_again(column, &mut entry).await;
        }
        entries.push(entry);
    }
    entries
}

/// Some cases wait for what comes within seconds, and a machine may stand still for as long. So what fell short is run once
/// more, alone; but what made a run too many, or told of one that is not, has done so for good.
async fn look_again(column: &Column, entry: &mut Entry) {
    eprintln!("{}: {}/{}: once more, alone", column.name, entry.theme, entry.case.name);
    let mut driver = None;
    (entry.cell, entry.is_sound) = one(column, &mut driver, entry.case).await;
    tell(&column.name, entry.theme, &entry.case, &entry.cell);
    if let Some(driver) = driver {
        // How it ends was judged with the lanes.
        let _ = driver.end().await;
    }
}

/// Whether there is a driver at all.
async fn answers(column: &Column) -> Result<(), String> {
    let driver = Driver::start(&column.command).map_err(|error| error.to_string())?;
    match tokio::time::timeout(HELLO_WITHIN, driver.ask("hello", json!({}))).await {
        Ok(Answer::Ok(hello)) => {
            eprintln!("{}: {hello}", column.name);
            Ok(())
        }
        Ok(other) => Err(format!("its driver does not say hello: {other:?}\n{}", driver.last_words().await)),
        Err(_) => Err(format!("its driver does not say hello within {HELLO_WITHIN:?}\n{}", driver.last_words().await)),
    }
}

type Line = Arc<AsyncMutex<std::vec::IntoIter<(usize, &'static Theme, Case)>>>;

/// Takes one case after the other, all with one driver as long as that lives.
async fn lane(column: Column, line: Line, results: Arc<Mutex<Vec<(usize, Entry)>>>) {
    let mut driver = None;
    loop {
        let Some((number, theme, case)) = line.lock().await.next() else { break };
        let (cell, is_sound) = one(&column, &mut driver, case).await;
        tell(&column.name, theme.name, &case, &cell);
        let result = Entry { client: column.name.clone(), theme: theme.name, case, cell, is_sound };
        results.lock().unwrap_or_else(PoisonError::into_inner).push((number, result));
    }
    if let Some(driver) = driver
        && let Err(why) = driver.end().await
    {
        eprintln!("{}: {why}", column.name);
    }
}

/// Runs one case, with a driver that is there or is made. Also gives whether it was safe, whatever became of it.
async fn one(column: &Column, driver: &mut Option<Arc<Driver>>, case: Case) -> (Cell, bool) {
    let at_hand = match driver.take() {
        Some(driver) => driver,
        None => match Driver::start(&column.command) {
            Ok(driver) => Arc::new(driver),
            Err(error) => return (Cell::Fails(error.to_string()), false),
        },
    };
    let mut cx = Cx::new(at_hand.clone(), &column.command);
    let running = tokio::spawn(async move {
        let verdict = tokio::time::timeout(CASE_WITHIN, (case.run)(&mut cx)).await;
        let safety = cx.judge_safety().await;
        (verdict, safety)
    });
    let mut is_sound = false;
    let cell = match running.await {
        Ok((Ok(verdict), safety)) => {
            is_sound = safety.is_ok() && !matches!(verdict, Err(Short::Wrong(_)));
            judge(&column.name, &case, verdict, safety)
        }
        Ok((Err(_), safety)) => {
            at_hand.kill().await;
            let why = format!("it did not end within {CASE_WITHIN:?}\n{}", at_hand.last_words().await);
            let is_sound = safety.is_ok();
            return (judge(&column.name, &case, Err(Short::Wrong(why)), safety), is_sound);
        }
        Err(error) => Cell::Fails(format!("the case itself broke: {error}")),
    };
    if matches!(at_hand.ask("hello", json!({})).await, Answer::Ok(_)) {
        *driver = Some(at_hand);
        return (cell, is_sound);
    }
    let why = match cell {
        Cell::Holds => "the driver did not survive it".to_owned(),
        Cell::Safe(why) | Cell::Unsupported(why) | Cell::Unsafe(why) | Cell::Fails(why) => why,
    };
    (Cell::Fails(format!("{why}\n{}", at_hand.last_words().await)), false)
}

/// Makes a cell of what a case found, and of what no client may do.
pub fn judge(client: &str, case: &Case, verdict: Verdict, safety: Verdict) -> Cell {
    let fails = |why| if client == STUB && case.is_beyond_a_stub { Cell::Unsafe(why) } else { Cell::Fails(why) };
    let why = |short| match short {
        Short::Unsupported(why) | Short::Gap(why) | Short::Wrong(why) => why,
    };
    match (verdict, safety) {
        (Ok(()), Ok(())) => Cell::Holds,
        (Err(Short::Unsupported(why)), Ok(())) => Cell::Unsupported(why),
        (Err(Short::Gap(why)), Ok(())) if client == STUB => Cell::Safe(why),
        (Err(short), Ok(())) => fails(why(short)),
        (Ok(()) | Err(Short::Unsupported(_)), Err(harm)) => fails(why(harm)),
        (Err(short), Err(harm)) => fails(format!("{}; and {}", why(harm), why(short))),
    }
}

fn tell(client: &str, theme: &str, case: &Case, cell: &Cell) {
    let name = format!("{client}: {theme}/{}", case.name);
    match cell {
        Cell::Holds => eprintln!("{name}: holds"),
        Cell::Safe(why) => eprintln!("{name}: safe ({why})"),
        Cell::Unsupported(why) => eprintln!("{name}: unsupported ({why})"),
        Cell::Unsafe(why) => eprintln!("{name}: unsafe ({why})"),
        Cell::Fails(why) => eprintln!("{name}: FAILS: {why}"),
    }
}
