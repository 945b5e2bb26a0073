//! By how much a trigger's fires come later. It hangs on names alone, so it is the same for each fire, on each server and
//! in each version.

use crate::id::{AppName, JobName, Millis};

/// How much later the fires of a trigger come: 0 to `max`, the same for the same names for ever.
///
/// FNV-1a over app, job and trigger with a zero byte behind each, then the last step of MurmurHash3, because FNV alone
/// leaves the upper bits of short names alike. Both are spelled out here: no library may change them.
pub fn jitter(app: &AppName, job: &JobName, trigger: &str, max: Millis) -> Millis {
    let Ok(max) = u64::try_from(max.0) else { return Millis(0) };
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for name in [app.as_str(), job.as_str(), trigger] {
        for byte in name.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    hash = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ hash >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^= hash >> 33;
    // The hash as a fraction of 2^64, of so many milliseconds.
    let share = (u128::from(hash) * (u128::from(max) + 1)) >> 64;
    Millis(i64::try_from(share).expect("it is not above the bound"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(app: &str, job: &str, trigger: &str, max: i64) -> i64 {
        jitter(&AppName::parse(app).unwrap(), &JobName::parse(job).unwrap(), trigger, Millis(max)).0
    }

    #[test]
    fn jitter_never_changes() {
        // Worked out by another program; if these change, the fires of every user move.
        assert_eq!(of("pay", "settle", "nightly", 60_000), 4722);
        assert_eq!(of("pay", "settle", "hourly", 60_000), 4431);
        assert_eq!(of("a", "b", "", 1_000_000), 731313);
    }

    #[test]
    fn jitter_stays_within_its_bound_and_fills_it() {
        let mut counts = [0; 10];
        for number in 0..10_000 {
            let late = of("app", &format!("job-{number}"), "t", 999);
            counts[usize::try_from(late / 100).unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| (850..1150).contains(count)), "{counts:?}");
        assert_eq!((of("a", "b", "c", 0), of("a", "b", "c", -5)), (0, 0));
        assert!((0..=i64::MAX).contains(&of("a", "b", "c", i64::MAX)));
    }

    #[test]
    fn names_do_not_run_into_each_other() {
        assert_ne!(of("a", "bc", "d", i64::MAX), of("ab", "c", "d", i64::MAX));
        assert_ne!(of("a", "b", "cd", i64::MAX), of("a", "bc", "d", i64::MAX));
    }
}
