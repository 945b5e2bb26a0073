//! `semel watch --top`: a live table. [`board`] knows how things stand, [`view`] makes lines of it, [`screen`] is the
//! terminal; this file turns them over. It draws a few times a second at most, however much happens.

mod board;
mod rates;
mod screen;
mod view;

use std::{
    future::poll_fn,
    io::IsTerminal as _,
    pin::pin,
    task::Poll,
    time::{Duration, SystemTime},
};

use semel_client::{
    Client, Error,
    watch::{Item, Watch},
};
use tokio::time::{MissedTickBehavior, interval};

use self::{
    board::Board,
    screen::{Screen, Wish},
    view::Scene,
};
use super::filter::FilterArgs;
use crate::cli::{
    failure::{Done, Failure},
    global::Output,
    hints::Exit,
    session::Session,
    signal,
};

/// How often it is drawn at most.
const DRAW: Duration = Duration::from_millis(200);
/// It is drawn every so many times even if nothing happened: ages grow.
const STILL_MAX: u32 = 5;

/// How many items are taken at one go.
const ITEMS_AT_ONCE: usize = 1024;

/// What is on the screen.
struct Top {
    client: Client,
    title: String,
    board: Board,
    screen: Screen,
    /// Whether something changed since it was drawn, and how often it was not.
    changed: bool,
    still: u32,
}

pub(super) async fn run(filter: &FilterArgs, session: &Session) -> Result<Done, Failure> {
    if session.output == Output::Json {
        return Err(Failure::usage("--top draws a table for people; leave it out to get a JSON line for each event"));
    }
    if !std::io::stdout().is_terminal() {
        return Err(Failure::Local {
            exit: Exit::Usage,
            message: "--top needs a terminal, and standard output is none".to_owned(),
            next: "leave --top out to get a line for each event, or add -o json for programs".to_owned(),
        });
    }
    let client = session.client().await?.clone();
    let mut watch = client.watch(filter.table_options());
    let mut board = Board::default();
    // What is wrong with the server or the credentials is told before the screen is taken.
    if let Some(first) = watch.next().await {
        board.hear(first.map_err(Failure::read)?.told);
    }
    let (title, screen) = (filter.words(session.app()), Screen::take(session.colors)?);
    let mut top = Top { client, title, board, screen, changed: true, still: 0 };
    let mut draws = interval(DRAW);
    draws.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stop = signal::stop();
    tokio::pin!(stop);
    // The screen is given back by its drop, before anything else is said.
    loop {
        tokio::select! {
            biased;
            _ = &mut stop => return Ok(Done::OK),
            wish = top.screen.wish() => match wish {
                Wish::Quit => return Ok(Done::OK),
                Wish::Draw => top.changed = true,
            },
            _ = draws.tick() => top.draw()?,
            item = watch.next() => {
                top.hear(item)?;
                top.hear_ready(&mut watch).await?;
            }
        }
    }
}

impl Top {
    fn hear(&mut self, item: Option<Result<Item, Error>>) -> Result<(), Failure> {
        self.changed = true;
        match item {
            Some(Ok(item)) => self.board.hear(item.told),
            Some(Err(error)) => return Err(Failure::read(error)),
            // It ends only with an error, which was told.
            None => {}
        }
        Ok(())
    }

    /// Takes what lies ready, at one go: looking for keys between every two of thousands of events costs more than they do.
    async fn hear_ready(&mut self, watch: &mut Watch) -> Result<(), Failure> {
        for _ in 0..ITEMS_AT_ONCE {
            match at_once(watch.next()).await {
                Some(item) if item.is_some() => self.hear(item)?,
                _ => break,
            }
        }
        Ok(())
    }

    fn draw(&mut self) -> Result<(), Failure> {
        self.still += 1;
        if !self.changed && self.still < STILL_MAX {
            return Ok(());
        }
        (self.changed, self.still) = (false, 0);
        let (width, height) = self.screen.size();
        let scene = Scene { board: &self.board, title: &self.title, now: self.now(), width, height };
        self.screen.draw(&view::lines(&scene))
    }

    /// The server's time, as far as it is known: ages are counted by it.
    fn now(&self) -> SystemTime {
        let offset_ms = self.client.clock_offset_ms();
        let (local, by) = (SystemTime::now(), Duration::from_millis(offset_ms.unsigned_abs()));
        if offset_ms < 0 { local.checked_sub(by) } else { local.checked_add(by) }.unwrap_or(local)
    }
}

/// What a future gives that is ready already.
async fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
