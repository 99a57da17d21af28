//! The shortest histories that were found for the rules of the watcher: without the rule, the history breaks what must hold.

use crate::search::{Failure, Step};
use crate::{fail, scene};

/// Told as found, and with the operations one call earlier or later: the calls of the watcher are numbered, and may change.
fn holds(text: &str) {
    let (name, plan) = text.split_once(": ").unwrap();
    let (scene, _) = scene(name);
    let plan: Vec<Step> = plan.split("; ").map(|step| step.parse().unwrap()).collect();
    for moved in 0..3_usize.pow(plan.len().min(6) as u32) {
        let mut plan = plan.clone();
        let mut digits = moved;
        for step in plan.iter_mut().rev().take(6) {
            step.call = (step.call + digits % 3).saturating_sub(1);
            digits /= 3;
        }
        if plan.windows(2).any(|steps| steps[0].call > steps[1].call) {
            continue;
        }
        if let (_, Some(why)) = scene.tell(&plan) {
            fail(name, scene, &Failure { why, plan });
        }
    }
}

macro_rules! histories {
    ($($name:ident: $text:literal,)*) => {
        $(#[test]
        fn $name() {
            holds($text);
        })*
    };
}

histories! {
    another_directory_is_opened_while_its_watch_asks_for_less:
        "all: 1 movein d/b; 13 exchange d/a d/b",
    a_directory_arrives_where_one_was_that_nobody_knew:
        "all: 1 mkdir d/b; 1 mkdir d/b/a; 15 exchange d/a d/b/a; 15 rename d/b/a d/c",
    a_directory_is_exchanged_with_one_that_nobody_knew:
        "some: 2 rename d/b d/a/b; 3 movein d/c; 3 exchange d/a/b d/a/a; 3 exchange d/a/b d/c; 16 exchange d/a d/c",
    a_directory_is_exchanged_with_one_that_is_not_watched_yet:
        "empty: 8 movein d/a; 8 mkdir d/b; 8 exchange d/a d/b",
    two_directories_return_whose_watches_were_about_to_be_removed:
        "all: 4 movein d/a/a; 16 mkdir d/a/a/a; 19 rename d/a/a d/a/b; 44 moveout d/a/b/a; 50 movein d/b; \
         51 rename d/b d/c; 51 rename d/a d/c/a; 51 rename d/c/a/b d/c/b; 52 rename d/c d/b",
    a_directory_leaves_to_an_excluded_name_that_nobody_knew:
        "exclude: 0 movein d/a/a; 21 rename d/a d/b; 22 rename d/b/a d/c; 30 mkdir d/a; 32 rename d/b d/c/sub/a; \
         38 exchange d/a d/c/sub/a; 42 rename d/c/sub/a d/b",
    a_directory_is_found_in_one_that_came_late:
        "late: 0+ mkdir d/a; 2 mkdir d/b; 9+ mkdir d/b/a; 14+ movein d/b/a/a; 18 rename d/b/a/a d/b/a/b; \
         20+ create d/a/a; 20 exchange d/a/a d/b/a/b; 22 mkdir d/c; 24+ rename d/b d/c/a; \
         28+ rename d/c/a/a d/b; 31 create d/c/b; 33 rename d/c d/a/a/a",
}
