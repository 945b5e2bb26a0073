//! What became of the lines of a file of runs: counted as answers come, and at the end put in words: what was not made, and
//! what to do. It shows nothing by itself.

use semel_client::RequestId;
use semel_proto::v1::{Disposition, ResponseHeader, RunJobResponse};

use crate::cli::{
    failure::{Failure, block},
    hints::Exit,
    show,
};

/// Refusals that are told at the end, counted by lines that follow each other and were refused alike; and what is told of
/// what to do. Each line has its row in JSON in any case.
const REFUSALS_MAX: usize = 100;
const HINTS_MAX: usize = 5;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) executed: u64,
    pub(super) replayed: u64,
    pub(super) refused: u64,
    pub(super) bad: u64,
    /// The first refusals.
    refusals: Vec<Refusals>,
    /// What to do about them.
    hints: Vec<String>,
    /// Whether some are to be looked up before anything is sent again.
    looks_up_first: bool,
    /// The gravest of all.
    pub(super) exit: Option<Exit>,
    /// Why nothing more was sent, and at which line that was seen.
    pub(super) stopped: Option<(Option<u64>, Failure)>,
    header: Option<ResponseHeader>,
}

/// Lines that follow each other and were refused alike.
#[derive(Debug)]
struct Refusals {
    first: u64,
    last: u64,
    why: String,
}

impl Tally {
    /// A run was made, now or earlier.
    pub(super) fn answered(&mut self, answer: &RunJobResponse) {
        match answer.header.as_ref().map(ResponseHeader::disposition) {
            Some(Disposition::Replayed) => self.replayed += 1,
            _ => self.executed += 1,
        }
        if self.header.is_none() {
            self.header.clone_from(&answer.header);
        }
    }

    /// A run was not made, or it is not known.
    pub(super) fn refused(&mut self, line: u64, failure: Failure) {
        self.refused += 1;
        self.note_refusal(line, failure.brief());
        if let Some(hint) = failure.next().filter(|hint| self.hints.len() < HINTS_MAX && !self.hints.contains(hint)) {
            self.hints.push(hint);
        }
        self.looks_up_first |= !failure.may_be_sent_again();
        match failure.exit() {
            // It is about this line alone.
            exit @ (Exit::Usage | Exit::State) => self.is_as_grave_as(exit),
            _ => self.stop(Some(line), failure),
        }
    }

    fn note_refusal(&mut self, line: u64, why: String) {
        let has_room = self.refusals.len() < REFUSALS_MAX;
        match self.refusals.last_mut() {
            Some(last) if last.last + 1 == line && last.why == why => last.last = line,
            _ if has_room => self.refusals.push(Refusals { first: line, last: line, why }),
            _ => {}
        }
    }

    /// Nothing more is sent, for this reason, which was seen at this line.
    pub(super) fn stop(&mut self, line: Option<u64>, failure: Failure) {
        self.is_as_grave_as(failure.exit());
        self.stopped.get_or_insert((line, failure));
    }

    /// What is not known goes over what was refused for all, and that over what is wrong with some.
    pub(super) fn is_as_grave_as(&mut self, exit: Exit) {
        let grave = |exit: Exit| match exit {
            Exit::Done | Exit::RunFailed => 0,
            Exit::Usage => 1,
            Exit::State => 2,
            Exit::General => 3,
            Exit::Denied => 4,
            Exit::Later => 5,
        };
        if self.exit.is_none_or(|other| grave(other) < grave(exit)) {
            self.exit = Some(exit);
        }
    }

    /// In one line.
    pub(super) fn summary(&self, id: RequestId) -> String {
        let mut parts = vec![format!("{} EXECUTED", self.executed), format!("{} REPLAYED", self.replayed)];
        if self.refused > 0 {
            parts.push(format!("{} refused", self.refused));
        }
        if self.bad > 0 {
            parts.push(format!("{} wrong", self.bad));
        }
        parts.extend(self.header.as_ref().map(|header| format!("auth {}", show::auth_of(header))));
        format!("request {id} {}", parts.join(", "))
    }

    /// What was not made, and what to do.
    pub(super) fn block(&self, id: RequestId) -> String {
        let mut rows: Vec<(String, String)> = self.refusals.iter().map(Refusals::row).collect();
        let untold = self.refused - self.refusals.iter().map(Refusals::count).sum::<u64>();
        if untold > 0 {
            rows.push(("and".to_owned(), format!("{untold} more; -o json tells all")));
        }
        let mut say = |name: &str, what: String| rows.push((name.to_owned(), what));
        if self.bad > 0 {
            say(
                "wrong",
                "nothing was sent from the first line on that is wrong; the rest was only looked at".to_owned(),
            );
        }
        if let Some((line, failure)) = &self.stopped {
            let at = line.map_or_else(|| failure.brief(), |line| format!("at line {line}"));
            say("stopped", format!("{at}; what follows what was sent by then was not sent"));
            failure.next().filter(|hint| !self.hints.contains(hint)).into_iter().for_each(|hint| say("next", hint));
        }
        self.hints.iter().for_each(|hint| say("next", hint.clone()));
        if !self.looks_up_first {
            say(
                "then",
                format!("send the file again with --request-id {id}: what was made is told again and not made again"),
            );
        }
        let rows: Vec<(&str, String)> = rows.iter().map(|(name, what)| (name.as_str(), what.clone())).collect();
        block("not every line of the file is a run now", &rows)
    }
}

impl Refusals {
    fn count(&self) -> u64 {
        self.last - self.first + 1
    }

    fn row(&self) -> (String, String) {
        match self.count() {
            1 => (format!("line {}", self.first), self.why.clone()),
            _ => (format!("lines {}", self.first), format!("to {}: {}", self.last, self.why)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01980000-0000-7abc-8def-0123456789ab";

    fn failure(exit: Exit, message: &str) -> Failure {
        Failure::Local { exit, message: message.to_owned(), next: "wait a moment".to_owned() }
    }

    #[test]
    fn what_is_wrong_with_a_line_stops_nobody_and_what_is_wrong_with_all_does() {
        let mut tally = Tally::default();
        tally.refused(3, failure(Exit::State, "there is no such job"));
        tally.refused(5, failure(Exit::Usage, "priority is too high"));
        assert!(tally.stopped.is_none());
        assert_eq!(tally.exit, Some(Exit::State));
        let text = tally.block(ID.parse().expect("an id"));
        for part in ["line 3", "no such job", "line 5", "wait a moment", "again with --request-id", ID] {
            assert!(text.contains(part), "{text}");
        }
        for (exit, line) in [(Exit::Denied, 7), (Exit::Later, 8)] {
            tally.refused(line, failure(exit, "not now"));
            assert_eq!(tally.exit, Some(exit));
        }
        let text = tally.block(ID.parse().expect("an id"));
        assert!(text.contains("stopped      at line 7;") && text.contains("lines 7      to 8: not now"), "{text}");
    }

    #[test]
    fn refusals_that_are_alike_are_told_together_and_those_beyond_number_are_counted() {
        let mut tally = Tally::default();
        for line in (10..20).chain(100..1000) {
            tally.refused(line, failure(Exit::State, "no"));
        }
        for line in 2000..2000 + REFUSALS_MAX as u64 {
            tally.refused(line, failure(Exit::State, &format!("no {line}")));
        }
        let text = tally.block(ID.parse().expect("an id"));
        for part in ["lines 10     to 19: no", "lines 100    to 999: no", "line 2097 ", "2 more"] {
            assert!(text.contains(part), "{text}");
        }
        assert_eq!(text.lines().count(), 1 + REFUSALS_MAX + 3, "{text}");
    }
}
