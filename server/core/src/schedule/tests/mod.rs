//! What schedules promise: by examples, and against models that were written another way.

mod cron;
mod expression;
mod mistakes;
mod model;
mod rules;
mod sample;
mod year;
mod zones;
