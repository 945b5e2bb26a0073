//! When triggers fire: a pure function from what a trigger says and a moment to the next moment. No clock in here, and no
//! zone data but those that are built in, so every server and every replay comes to the same answer.

mod spec;

pub use self::spec::{Date, Exclusion, Fold, Gap, Misfire, Overlap, TimeOfDay, TriggerSpec, Triggers, Weekdays, When};
