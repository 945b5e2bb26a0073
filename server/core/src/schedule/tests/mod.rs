//! What schedules promise: by examples, and against models that were written another way.

mod cron;
mod expression;
mod model;
mod sample;
mod zones;
