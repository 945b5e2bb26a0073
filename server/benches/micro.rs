//! What the parts of a call cost, one by one and without a network: the decision, the fingerprint, the codec, the commit.
//! The whole is measured by `semel bench`; this tells where in it the time goes. It must never reach for what a server
//! does not do itself.

#[path = "micro/world.rs"]
mod world;

use divan::{Bencher, black_box, counter::ItemsCount};
use semel_core::{codec, event::Record, run::Run, window::DedupRecord};
use semel_proto::fingerprint::Content as _;
use semel_server::store::{Embedded, EmbeddedOptions, Memory, Store};

use self::world::World;

fn main() {
    divan::main();
}

/// Deciding on a submission, without making it so.
#[divan::bench]
fn decide(bencher: Bencher) {
    let world = World::new();
    bencher.bench_local(move || black_box(world.decide()));
}

/// Deciding on a submission and making it so.
#[divan::bench]
fn decide_and_evolve(bencher: Bencher) {
    let mut world = World::new();
    bencher.bench_local(move || {
        world.submit();
        world.forget();
    });
}

/// The fingerprint of a request's content.
#[divan::bench]
fn fingerprint(bencher: Bencher) {
    let request = world::request();
    bencher.bench(|| black_box(&request).fingerprint());
}

#[divan::bench]
fn encode_run(bencher: Bencher) {
    encode::<Run>(bencher, World::new().submitted().0);
}

#[divan::bench]
fn decode_run(bencher: Bencher) {
    decode::<Run>(bencher, &World::new().submitted().0);
}

#[divan::bench]
fn encode_record(bencher: Bencher) {
    encode::<Record>(bencher, World::new().submitted().1);
}

#[divan::bench]
fn decode_record(bencher: Bencher) {
    decode::<Record>(bencher, &World::new().submitted().1);
}

#[divan::bench]
fn encode_dedup_record(bencher: Bencher) {
    encode::<DedupRecord>(bencher, World::new().submitted().2);
}

#[divan::bench]
fn decode_dedup_record(bencher: Bencher) {
    decode::<DedupRecord>(bencher, &World::new().submitted().2);
}

fn encode<T: minicbor::Encode<()> + Sync>(bencher: Bencher, value: T) {
    let mut buffer = Vec::new();
    bencher.bench_local(move || {
        buffer.clear();
        codec::encode_into(black_box(&value), &mut buffer);
        black_box(buffer.len())
    });
}

fn decode<T: minicbor::Encode<()> + for<'b> minicbor::Decode<'b, ()>>(bencher: Bencher, value: &T) {
    let bytes = codec::encode(value);
    bencher.bench_local(move || codec::decode::<T>(black_box(&bytes)).expect("it was just encoded"));
}

/// One durable commit of so many submissions, with their decisions: on the disk that holds temporary files.
#[divan::bench(args = [1, 64, 1024], sample_count = 20, sample_size = 1)]
fn commit_embedded(bencher: Bencher, submissions: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let options = EmbeddedOptions { map_size: 4 << 30, ..EmbeddedOptions::new(folder.path().to_owned()) };
    commit(bencher, submissions, &mut Embedded::open(&options).expect("a store"));
}

/// The same in memory: what is left is not the disk.
#[divan::bench(args = [1, 64, 1024], sample_count = 20, sample_size = 1)]
fn commit_memory(bencher: Bencher, submissions: usize) {
    commit(bencher, submissions, &mut Memory::new());
}

fn commit(bencher: Bencher, submissions: usize, store: &mut dyn Store) {
    let epoch = store.load().expect("a new store").epoch;
    let mut world = World::new();
    bencher.counter(ItemsCount::new(submissions)).bench_local(move || {
        for _ in 0..submissions {
            world.submit();
        }
        world.commit(epoch, store);
    });
}
