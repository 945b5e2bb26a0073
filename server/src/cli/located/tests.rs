//! Values and mistakes are where they are said to be, in both syntaxes.

use serde::Deserialize;

use super::*;

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Sample {
    name: String,
    #[serde(default)]
    count: i32,
    #[serde(default)]
    inner: Vec<Inner>,
    #[serde(default)]
    free: serde_json::Value,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Inner {
    a: i32,
}

fn faults(text: &str, syntax: Syntax) -> Vec<String> {
    match documents(text, syntax) {
        Err(fault) => vec![fault.to_string()],
        Ok(nodes) => {
            let read = |node: &Node| node.read::<Sample>().err().unwrap_or_default();
            nodes.iter().flat_map(read).map(|fault| fault.to_string()).collect()
        }
    }
}

#[test]
fn both_syntaxes_say_the_same() {
    let yaml = "name: a\ncount: 3\ninner:\n  - a: 1\nfree: {b: [1, 2.5, x, true, null, '7']}\n";
    let toml = "name = \"a\"\ncount = 3\nfree = { b = [1, 2.5, \"x\", true, \"\", \"7\"] }\n[[inner]]\na = 1\n";
    let read = |text, syntax| documents(text, syntax).expect("good")[0].read::<Sample>().expect("good");
    let (yaml, toml) = (read(yaml, Syntax::Yaml), read(toml, Syntax::Toml));
    assert_eq!((&yaml.name, yaml.count, &yaml.inner), (&toml.name, toml.count, &toml.inner));
    assert_eq!(yaml.free, serde_json::json!({ "b": [1, 2.5, "x", true, null, "7"] }));
}

#[test]
fn a_file_holds_many_documents_and_empty_ones_are_none() {
    let nodes = documents("---\nname: a\n---\n# nothing\n---\nname: b\n", Syntax::Yaml).expect("good");
    assert_eq!(nodes.iter().map(|node| node.place.line).collect::<Vec<_>>(), [2, 6]);
    assert!(documents("", Syntax::Yaml).expect("good").is_empty());
}

#[test]
fn all_mistakes_are_told_and_each_at_its_place() {
    let yaml = "name: 5\nwrong: 1\ncount: many\ninner:\n  - a: x\n  - {a: 1, b: 2}\n  - {}\n";
    let said = faults(yaml, Syntax::Yaml);
    let begin =
        ["1:7: must be text", "2:1: unknown field `wrong`", "3:8: invalid type", "5:8: invalid", "6:12: unknown"];
    assert_eq!(said.len(), 6, "{said:#?}");
    assert!(said.iter().zip(begin).all(|(said, begin)| said.starts_with(begin)), "{said:#?}");
    assert!(said[5].starts_with("7:5: missing field `a`"), "{said:#?}");
    let toml = faults("name = 5\nwrong = 1\n[[inner]]\na = \"x\"\n", Syntax::Toml);
    assert!(toml[0].starts_with("1:8:") && toml[1].starts_with("2:1:") && toml[2].starts_with("4:5:"), "{toml:#?}");
}

#[test]
fn what_is_no_document_is_told_at_its_place() {
    for (text, syntax, begin) in [
        ("name: a\n  b: c\n", Syntax::Yaml, "2:"),
        ("name: a\nname: b\n", Syntax::Yaml, "2:1: \"name\" stands here"),
        ("name: &x a\n", Syntax::Yaml, "1:"),
        ("name: !!str a\n", Syntax::Yaml, "1:"),
        ("name = \n", Syntax::Toml, "1:"),
    ] {
        let said = faults(text, syntax);
        assert!(said.len() == 1 && said[0].starts_with(begin), "{text}: {said:?}");
    }
    let deep = "[".repeat(1000);
    assert_eq!(faults(&deep, Syntax::Yaml).len(), 1);
}

#[test]
fn a_path_leads_to_the_nearest_place() {
    let node = &documents("name: a\nt:\n  n:\n    cron: x\n", Syntax::Yaml).expect("good")[0];
    let at = |path: &[&str]| node.place_of(&path.iter().map(ToString::to_string).collect::<Vec<_>>()).line;
    assert_eq!([at(&["t", "n", "when", "cron", "expression"]), at(&["t", "n", "zone"]), at(&["nope"])], [4, 3, 1]);
}
