//! Files become jobs, or a list of mistakes with their lines.

use super::*;

fn read_all(files: &[(&str, &str)]) -> Result<Vec<Item>, Vec<String>> {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    }
    let read = read(&[folder.path().to_owned()], "pay").expect("it can be read");
    let name = |mistake: &Mistake| mistake.to_string().replace(&format!("{}/", folder.path().display()), "");
    read.map_err(|mistakes| mistakes.iter().map(name).collect())
}

#[test]
fn a_folder_is_read_in_order_and_both_syntaxes_say_the_same() {
    let yaml = "job: a\nprocessor: exec\ntriggers: {t: {rate: 10s}}\n---\napp: other\njob: b\nprocessor: exec\n";
    let toml = "processor = \"exec\"\n[triggers.t]\nrate = \"10s\"\n";
    let items = read_all(&[("b/c.toml", toml), ("a.yaml", yaml), (".hidden.yaml", "x"), ("note.txt", "x")]);
    let items = items.expect("good files");
    let names: Vec<(u32, &str, &str)> =
        items.iter().map(|item| (item.number, item.app.as_str(), item.job.as_str())).collect();
    assert_eq!(names, [(1, "pay", "a"), (2, "other", "b"), (3, "pay", "c")]);
    assert_eq!(items[0].spec, items[2].spec);
}

#[test]
fn all_mistakes_of_all_files_are_told_with_their_lines() {
    let a = "job: a\nprocessor: exec\npriority: 1000\ntriggers:\n  t:\n    cron: 61 * * * *\n  u:\n    zone: UTC\n";
    let b = "job: b\nprocesor: exec\nmax_running: many\n---\nprocessor: exec\n---\njob: c\nprocessor: exec\n---\njob: c\nprocessor: exec\n";
    let c = "job: d\nprocessor: exec\npriority: 1000\ntriggers:\n  t:\n    cron: 61 * * * *\n  u:\n    rate: 1s\n    zone: Nowhere\n    overlap: maybe\n";
    let d = c.replace("    overlap: maybe\n", "");
    let said = read_all(&[("a.yaml", a), ("b.yaml", b), ("c.yaml", c), ("d.yaml", &d)]).expect_err("wrong files");
    let begin = [
        "a.yaml:7:3: a trigger needs",
        "b.yaml:2:1: unknown field `procesor`",
        "b.yaml:3:14: invalid type",
        "b.yaml:5:1: missing field `job`",
        "c.yaml:10:14: \"maybe\" is not known",
        "d.yaml:3:1: priority",
        "d.yaml:6:5: triggers.t.cron",
        "d.yaml:9:5: triggers.u.zone",
        "b.yaml:10:1: job \"c\" stands at",
    ];
    assert_eq!(said.len(), begin.len(), "{said:#?}");
    assert!(said.iter().zip(begin).all(|(said, begin)| said.starts_with(begin)), "{said:#?}");
}

#[test]
fn the_path_of_a_field_falls_into_its_parts() {
    assert_eq!(parts("spec.triggers[\"a.b\"].exclude[2].dates"), ["triggers", "a.b", "exclude", "2", "dates"]);
    assert_eq!(parts("spec.labels[team.x]"), ["labels", "team.x"]);
    assert!(parts("spec").is_empty());
}
