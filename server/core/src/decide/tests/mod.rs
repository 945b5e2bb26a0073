//! Decide tests: given these events, when this command, then exactly these events and this answer, or this refusal.
//!
//! [`World`] is the driver: it stamps with a clock that only tests move, evolves what was decided, keeps the rows that a
//! store would keep, and asks after each step whether all invariants hold.

mod app;
mod cancel;
mod dedup;
mod job;
mod limit;
mod report;
mod restore;
mod retry;
mod run;
mod system;
mod table;
mod tenant;
mod timer;
mod trigger;
mod walk;
mod world;

use self::world::{Step, World};
use crate::{
    command::{Command, SystemCommand},
    event::Event,
    rejection::Rejection,
    reply::Reply,
    samples::T0,
};

/// A world in which these events have happened, at T0, each in a revision of its own.
fn given(events: impl IntoIterator<Item = Event>) -> World {
    let mut world = World::new(T0);
    for event in events {
        world.evolve(&[event]);
    }
    world
}

impl World {
    /// More happened, now.
    fn and(mut self, events: impl IntoIterator<Item = Event>) -> Self {
        for event in events {
            self.evolve(&[event]);
        }
        self
    }

    /// Time passed.
    fn after(mut self, millis: i64) -> Self {
        self.wait(millis);
        self
    }

    /// The batch was committed: what has ended is on disk only.
    fn committed(mut self) -> Self {
        self.commit();
        self
    }

    /// Somebody wishes something.
    #[must_use]
    fn when(self, command: Command) -> Then {
        let step = self.decide(&command);
        Then { world: self, step }
    }

    /// The server does something by itself.
    #[must_use]
    fn when_system(self, command: &SystemCommand) -> Then {
        let step = self.decide_system(command);
        Then { world: self, step }
    }

    /// The server does what is due.
    #[must_use]
    fn when_tick(self) -> Then {
        self.when_system(&SystemCommand::Tick)
    }
}

/// What was decided and is not evolved yet.
struct Then {
    world: World,
    step: Step,
}

impl Then {
    /// Exactly these events, in this order, and no others; now they have happened.
    #[track_caller]
    fn then(mut self, events: impl IntoIterator<Item = Event>) -> World {
        let expected: Vec<Event> = events.into_iter().collect();
        let (decided, _) = self.step.as_ref().expect("it is not refused");
        assert_eq!(decided, &expected);
        assert!(!expected.is_empty(), "say then_silent or then_nothing");
        self.world.apply(self.step).expect("it is not refused");
        self.world
    }

    /// This answer and exactly these events.
    #[track_caller]
    fn then_answers(self, reply: &Reply, events: impl IntoIterator<Item = Event>) -> World {
        assert_eq!(self.answer(), Some(reply));
        self.then(events)
    }

    /// This refusal.
    #[track_caller]
    fn then_rejected(self, rejection: &Rejection) -> World {
        assert_eq!(self.step.as_ref(), Err(rejection));
        self.world
    }

    /// This answer, and nothing happened.
    #[track_caller]
    fn then_silent(mut self, reply: &Reply) -> World {
        assert_eq!(self.step, Ok((Vec::new(), Some(reply.clone()))));
        self.world.apply(self.step).expect("it is not refused");
        self.world
    }

    /// The server did nothing.
    #[track_caller]
    fn then_nothing(self) -> World {
        assert_eq!(self.step, Ok((Vec::new(), None)));
        self.world
    }

    /// Whatever it is, now it has happened. For steps that another test looks at.
    #[track_caller]
    fn done(mut self) -> World {
        self.world.apply(self.step).expect("it is not refused");
        self.world
    }

    #[track_caller]
    fn answer(&self) -> Option<&Reply> {
        self.step.as_ref().expect("it is not refused").1.as_ref()
    }
}
