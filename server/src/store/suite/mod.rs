//! The one suite that every store passes. A store is judged by what its caller sees; what only one of them can do wrong
//! is tested beside it.

mod commit;
mod differential;
pub(in crate::store) mod fixtures;
mod isolation;
mod lists;
mod retention;
mod window;

use std::sync::Arc;

use super::{Batch, Committed, Embedded, EmbeddedOptions, Error, Loaded, Memory, Reader, Store};

/// A place where a store is kept, that can be opened again after its store was dropped.
pub(in crate::store) trait Place {
    /// A new place, with nothing in it.
    fn empty() -> Self;

    /// Opens the store.
    fn open(&self) -> Box<dyn Store>;
}

pub(in crate::store) struct InMemory(Memory);

impl Place for InMemory {
    fn empty() -> Self {
        Self(Memory::new())
    }

    fn open(&self) -> Box<dyn Store> {
        Box::new(self.0.reopen())
    }
}

pub(in crate::store) struct OnDisk(tempfile::TempDir);

impl Place for OnDisk {
    fn empty() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    fn open(&self) -> Box<dyn Store> {
        let options = EmbeddedOptions { map_size: 1 << 30, wal_bytes: 32 << 10, ..EmbeddedOptions::new(self.0.path()) };
        Box::new(Embedded::open(&options).expect("the last store was dropped"))
    }
}

/// A store as an engine uses it.
pub(in crate::store) struct Session {
    pub(in crate::store) store: Box<dyn Store>,
    pub(in crate::store) loaded: Loaded,
    pub(in crate::store) reader: Arc<dyn Reader>,
}

impl Session {
    pub(in crate::store) fn start(place: &impl Place) -> Self {
        Self::with(place.open())
    }

    pub(in crate::store) fn with(mut store: Box<dyn Store>) -> Self {
        let loaded = store.load().expect("nothing is wrong with the store");
        let reader = store.reader();
        Self { store, loaded, reader }
    }

    pub(in crate::store) fn try_commit(&mut self, batch: &Batch<'_>) -> Result<Committed, Error> {
        self.store.commit(self.loaded.epoch, batch)
    }

    #[track_caller]
    pub(in crate::store) fn commit(&mut self, batch: &Batch<'_>) -> Committed {
        self.try_commit(batch).expect("a good batch")
    }
}

/// Makes a test of each behaviour for each store.
macro_rules! of_every_store {
    ($($topic:ident: $($behaviour:ident),+ $(,)?;)+) => {
        mod memory {
            $($(#[test] fn $behaviour() { super::$topic::$behaviour(&<super::InMemory as super::Place>::empty()); })+)+
        }
        mod embedded {
            $($(#[test] fn $behaviour() { super::$topic::$behaviour(&<super::OnDisk as super::Place>::empty()); })+)+
        }
    };
}

of_every_store! {
    commit:
        a_new_store_is_empty,
        every_kind_of_row_comes_back_as_it_went_in,
        a_batch_that_breaks_a_rule_leaves_nothing_behind,
        what_was_committed_is_loaded_again,
        the_former_owner_is_fenced,
        nobody_commits_without_having_taken_over,
        what_was_deleted_is_gone,
        the_high_water_mark_never_goes_back,
        prefetch_gives_what_is_there_and_input_only_if_asked,
        the_longest_unique_key_fits_under_the_longest_names,
        unique_keys_that_look_alike_are_kept_apart;
    window:
        requests_are_counted_by_app,
        a_request_is_never_remembered_twice,
        one_id_under_two_apps_is_two_requests,
        expiry_takes_the_oldest_in_slices_and_counts_exactly,
        expiry_spares_what_was_minted_at_its_bound,
        a_request_that_is_expired_in_its_own_batch_is_not_counted,
        arrivals_are_written_to_the_requests_that_are_there;
    retention:
        finished_runs_go_by_their_end_and_live_ones_stay,
        what_lies_beside_a_run_goes_with_it_and_its_neighbours_stay,
        a_run_with_a_long_log_goes_in_slices_and_is_not_found_after_the_first,
        what_is_made_while_others_are_forgotten_is_told_whole,
        old_records_go_in_slices_and_the_oldest_that_is_left_is_known,
        a_slice_is_bounded_by_bytes_too;
    lists:
        runs_come_newest_first_without_gap_or_repetition,
        runs_are_filtered,
        runs_are_bounded_by_time,
        a_run_that_ended_in_its_first_batch_is_listed,
        a_list_of_runs_looks_at_a_bounded_number_of_rows,
        requests_come_newest_first_and_filtered,
        a_list_of_requests_misses_nothing_where_apps_share_an_id,
        jobs_come_in_order_and_only_of_the_app,
        apps_come_in_order,
        logs_come_in_pages_and_only_of_the_run,
        records_come_from_a_revision_on;
    isolation:
        readers_see_a_batch_whole_or_not_at_all;
}
