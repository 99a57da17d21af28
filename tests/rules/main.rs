//! The rules of the watcher, tried on a simulated system in every interleaving.
//!
//! The suite tries all histories of a few operations. `make check-rules` tries more: `RULES_DEPTH` is the number of operations.
//! The random histories are those of `RULES_SEED`, `RULES_RANDOM` in each tree, or in that of `RULES_SCENE` only.
//! `RULES_STORY='SCENE: CALL OPERATION; …'` tells one history, as a failure prints it.

#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
mod histories;
mod kernel;
mod operations;
mod search;
mod simulated;

use std::time::Instant;

use inotify_tools::internals::mask::{IN_ALL_EVENTS, IN_CREATE};

use search::{CHANGES, Failure, Scene, Step};

/// A queue that nothing here fills.
const LONG: usize = 10_000;

/// The scene of which the others differ in what they name.
const EMPTY: Scene = Scene {
    name: "empty",
    before: &[],
    events: CHANGES,
    queue_limit: LONG,
    has_floods: false,
    has_slow_clock: false,
    lateness: 0,
    exclude: None,
    max_depth: None,
    tells_contents: true,
    room: usize::MAX,
    most_watches: usize::MAX,
    forbidden: None,
};

const FLOODED: Scene =
    Scene { name: "flooded", before: &["mkdir d/a", "mkdir d/a/a"], has_floods: true, ..EMPTY };

/// What is tried, and how many operations deep in the suite.
const SCENES: &[(Scene, usize)] = &[
    (EMPTY, 3),
    (Scene { name: "late", lateness: 1, ..EMPTY }, 2),
    (Scene { name: "later", lateness: 6, ..EMPTY }, 2),
    (Scene { name: "some", before: &SOME, ..EMPTY }, 2),
    (Scene { name: "all", before: &["mkdir d/a"], events: IN_ALL_EVENTS, ..EMPTY }, 2),
    (Scene { name: "created", before: &["mkdir d/a"], events: IN_CREATE, ..EMPTY }, 2),
    (Scene { name: "overflow", before: &["mkdir d/a"], queue_limit: 2, ..EMPTY }, 2),
    (FLOODED, 2),
    (Scene { name: "dateless", has_slow_clock: true, ..FLOODED }, 2),
    (Scene { name: "exclude", before: &["mkdir d/a"], exclude: Some("/b(/|$)"), ..EMPTY }, 2),
    (
        Scene { name: "read", before: &["mkdir d/a"], events: IN_ALL_EVENTS, tells_contents: false, ..EMPTY },
        2,
    ),
    (Scene { name: "limit", before: &["mkdir d/a"], most_watches: 2, ..EMPTY }, 2),
    (Scene { name: "forbidden", before: &["mkdir d/a"], forbidden: Some("b"), ..EMPTY }, 2),
    (Scene { name: "shallow", before: &["mkdir d/a"], max_depth: Some(2), ..EMPTY }, 2),
    (Scene { name: "closed", before: &SOME, room: 5, ..EMPTY }, 2),
];

const SOME: [&str; 3] = ["mkdir d/a", "mkdir d/a/a", "create d/b"];

fn scene(name: &str) -> &'static (Scene, usize) {
    SCENES.iter().find(|(scene, _)| scene.name == name).unwrap_or_else(|| panic!("no scene {name}"))
}

/// Tries all histories of a scene; tells the first that breaks a rule.
fn try_all(name: &str) {
    let (scene, depth) = scene(name);
    let depth = std::env::var("RULES_DEPTH").map_or(*depth, |depth| depth.parse().unwrap());
    let begin = Instant::now();
    let (mut histories, mut known) = (0, 0);
    // The shortest first.
    for depth in 0..=depth {
        let found = scene.search(depth);
        (histories, known) = (histories + found.histories, known + found.known);
        if let Some(failure) = found.failure {
            fail(name, scene, &failure);
        }
    }
    println!(
        "{name}: {histories} histories of up to {depth} operations, {known} of them until a known state, in {:.1?}",
        begin.elapsed()
    );
}

fn fail(name: &str, scene: &Scene, failure: &Failure) -> ! {
    let (story, _) = scene.tell(&failure.plan);
    let plan: Vec<String> = failure.plan.iter().map(Step::to_string).collect();
    panic!("{}\nRULES_STORY='{name}: {}'\n{story}", failure.why, plan.join("; "));
}

/// Longer histories, by chance.
#[test]
fn random_histories() {
    let each = std::env::var("RULES_RANDOM").map_or(1000, |each| each.parse().unwrap());
    let begin = Instant::now();
    let first = std::env::var("RULES_SEED").map_or(0, |seed| seed.parse().unwrap());
    let only = std::env::var("RULES_SCENE").ok();
    let is_asked = |(scene, _): &&(Scene, usize)| only.as_ref().is_none_or(|only| scene.name == only);
    let scenes: Vec<_> = SCENES.iter().filter(is_asked).collect();
    // The shortest first.
    for operations in 3..13 {
        for seed in first..first + each / 10 {
            for (scene, _) in &scenes {
                let Some(failure) = scene.try_random(seed, operations) else { continue };
                fail(scene.name, scene, &scene.shorten(failure));
            }
        }
    }
    println!("{} random histories in {:.1?}", each as usize * scenes.len(), begin.elapsed());
}

#[test]
fn every_interleaving_in_an_empty_tree() {
    try_all("empty");
}

#[test]
fn every_interleaving_with_events_that_are_queued_late() {
    try_all("late");
}

#[test]
fn every_interleaving_with_events_that_are_queued_much_later() {
    try_all("later");
}

#[test]
fn every_interleaving_in_a_tree() {
    try_all("some");
}

#[test]
fn every_interleaving_if_all_events_are_reported() {
    try_all("all");
}

#[test]
fn every_interleaving_if_creations_are_reported() {
    try_all("created");
}

#[test]
fn every_interleaving_if_the_queue_overflows() {
    try_all("overflow");
}

#[test]
fn every_interleaving_if_the_queue_is_flooded() {
    try_all("flooded");
}

#[test]
fn every_interleaving_if_the_queue_is_flooded_while_the_clock_is_slow() {
    try_all("dateless");
}

#[test]
fn every_interleaving_with_excluded_names() {
    try_all("exclude");
}

#[test]
fn every_interleaving_where_links_are_not_counted() {
    try_all("read");
}

#[test]
fn every_interleaving_if_few_directories_can_be_open() {
    try_all("closed");
}

#[test]
fn every_interleaving_if_few_directories_can_be_watched() {
    try_all("limit");
}

#[test]
fn every_interleaving_if_some_directories_may_not_be_read() {
    try_all("forbidden");
}

#[test]
fn every_interleaving_if_only_two_levels_are_watched() {
    try_all("shallow");
}

/// The name of a tree, the tree, and the plan, of a history as it is printed if it fails.
fn parsed(text: &str) -> (&str, &'static Scene, Vec<Step>) {
    let (name, plan) = text.split_once(':').unwrap();
    let steps = plan.split(';').filter(|step| !step.trim().is_empty());
    (name.trim(), &scene(name.trim()).0, steps.map(|step| step.parse().unwrap()).collect())
}

/// Tells one history, for those who want to see it.
#[test]
fn a_story_is_told() {
    let Ok(text) = std::env::var("RULES_STORY") else { return };
    let (_, scene, plan) = parsed(&text);
    let (story, failure) = scene.tell(&plan);
    println!("{story}\n{}", failure.unwrap_or_else(|| "no rule is broken".into()));
}
