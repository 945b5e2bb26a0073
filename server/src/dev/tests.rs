//! The whole of `semel dev`, twice on one data directory, as a person would start it.

use std::fs;

use super::*;

fn settings(data_dir: PathBuf) -> Settings {
    Settings { data_dir, listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), once: true, json: false }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_story_holds_the_first_time_and_the_second() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    for _ in 0..2 {
        assert_eq!(run(settings(data_dir.clone())).await.unwrap(), Verdict::Held);
    }
    let path = data_dir.join(house::ENV_FILE);
    let text = fs::read_to_string(&path).unwrap();
    let names: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("export ")?.split('=').next()).collect();
    assert_eq!(names, ["SEMEL_SERVER", "SEMEL_APP", "SEMEL_SECRET"]);
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    assert!(data_dir.join("server.log.gz").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_is_taken_is_no_hindrance() {
    let taken = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { listen: taken.local_addr().unwrap(), ..settings(folder.path().join("data")) };
    assert_eq!(run(settings).await.unwrap(), Verdict::Held);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_of_them_do_not_share_a_data_directory() {
    let folder = tempfile::tempdir().unwrap();
    let _first = House::open(folder.path(), SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
    let error = run(settings(folder.path().to_owned())).await.unwrap_err();
    assert!(matches!(error, Error::Server(server::Error::Store(_))), "{error:?}");
}
