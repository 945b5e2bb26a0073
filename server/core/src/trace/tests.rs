//! What the standard says of the two headers, case by case.

use super::*;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn parent(text: &str) -> Option<TraceContext> {
    TraceContext::parse(text, "")
}

fn state(text: &str) -> String {
    TraceContext::parse(PARENT, text).expect("the parent is good").state
}

#[test]
fn a_parent_is_read_and_written_as_it_was() {
    let context = parent(PARENT).expect("it is good");
    assert_eq!((context.trace_id[0], context.span_id[1], context.is_sampled()), (0x4b, 0xf0, true));
    assert_eq!(context.parent(), PARENT);
    assert_eq!(context.trace_id_text(), "4bf92f3577b34da6a3ce929d0e0e4736");
    let not_sampled = PARENT.replace("-01", "-00");
    assert!(!parent(&not_sampled).expect("it is good").is_sampled());
}

#[test]
fn what_is_no_parent_is_nothing() {
    let bad = [
        "",
        "00",
        // Too short, too long, and with something behind it.
        &PARENT[..54],
        &format!("{PARENT}0"),
        &format!("{PARENT}-what-comes-later"),
        // Versions: the one that is forbidden, and none.
        &PARENT.replacen("00", "ff", 1),
        &PARENT.replacen("00", "0x", 1),
        // Capital digits, other letters, other separators, spaces.
        &PARENT.replace('b', "B"),
        &PARENT.replace('b', "g"),
        &PARENT.replace('-', "_"),
        &format!(" {PARENT}"),
        &format!("{PARENT} "),
        // All zeros.
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        // The separators in other places.
        "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01",
        "0-04bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        // A character of two bytes across the end.
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0\u{e9}",
        // Two headers in one.
        &format!("{PARENT},{PARENT}"),
    ];
    for text in bad {
        assert_eq!(parent(text), None, "{text:?}");
    }
}

#[test]
fn a_later_version_is_read_as_far_as_it_is_known() {
    let later = PARENT.replacen("00", "cc", 1);
    for text in [later.clone(), format!("{later}-what-comes-later"), format!("{later}-")] {
        assert_eq!(parent(&text).expect("it is good").parent(), PARENT, "{text}");
    }
    assert_eq!(parent(&format!("{later}.what")), None);
}

#[test]
fn flags_without_a_meaning_are_not_passed_on() {
    let flagged = |flags: &str| parent(&PARENT.replace("-01", flags)).expect("it is good").flags;
    assert_eq!((flagged("-ff"), flagged("-08"), flagged("-03"), flagged("-02")), (3, 0, 3, 2));
}

#[test]
fn a_state_is_carried_on_in_its_order() {
    assert_eq!(state("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"), "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE");
    // Space around members, and members that are none, are left out; a space within a value is not.
    assert_eq!(state(" a=1 ,\t,, b=x y\t"), "a=1,b=x y");
    assert_eq!(state("a=1,"), "a=1");
    assert_eq!(state("0tenant@sys=1,a_-*/9=2"), "0tenant@sys=1,a_-*/9=2");
    assert_eq!(state(""), "");
    assert_eq!(TraceContext::parse("no parent", "a=1"), None);
}

#[test]
fn a_state_with_a_mistake_is_left_out_and_the_parent_stays() {
    let long = "k".repeat(257);
    let many: Vec<String> = (0..33).map(|number| format!("k{number}=1")).collect();
    let bad = [
        "a",
        "=1",
        "a=",
        "A=1",
        "a=1=2",
        "a=1,a=2",
        "a b=1",
        "@a=1",
        "a@=1",
        "a@b@c=1",
        "-a=1",
        "a=\u{e9}",
        "a=\u{1}",
        &format!("{long}=1"),
        &format!("a={long}"),
        &many.join(","),
    ];
    for text in bad {
        assert_eq!(state(text), "", "{text:?}");
    }
    assert_eq!(state(&many[..32].join(",")), many[..32].join(","));
}

#[test]
fn of_a_state_that_is_too_long_whole_members_go() {
    let (long, value) = ("v".repeat(200), "v".repeat(90));
    let text = format!("a={value},long={long},b={value},c={value},d={value},e={value}");
    assert_eq!(state(&text), format!("a={value},b={value},c={value},d={value},e={value}"));
    let text = format!("{text},f={value},g={value}");
    assert_eq!(state(&text), format!("a={value},b={value},c={value},d={value},e={value}"));
    let endless = format!("a={}", "v".repeat(1 << 16));
    assert_eq!(state(&endless), "");
}

#[test]
fn another_span_stands_in_the_same_trace() {
    let context = TraceContext::parse(PARENT, "a=1").expect("it is good");
    let child = context.at([7; 8]);
    assert_eq!((child.trace_id, child.flags, child.state.as_str()), (context.trace_id, 1, "a=1"));
    assert_eq!(child.span_id, [7; 8]);
    assert!(TraceContext::root([1; 16], [2; 8]).is_sampled());
}
