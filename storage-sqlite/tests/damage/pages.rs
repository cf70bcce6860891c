//! Whole pages: zeroed, in each other's place, cut off.

use std::fs;

use crate::every_bit::suffer;
use crate::scene::{check, copy, filled, read_all, small};

const PAGE: usize = 512;

#[test]
fn zeroed_pages_are_errors_or_named() {
    let dir = small();
    let pages = fs::metadata(dir.path().join("opifex.db")).expect("it is there").len() as usize / PAGE;
    suffer(dir.path(), pages, |page, database| {
        database[page * PAGE..(page + 1) * PAGE].fill(0);
        format!("page {page} zeroed")
    });
}

#[test]
fn pages_in_each_others_place_are_errors_or_named() {
    let dir = small();
    let pages = fs::metadata(dir.path().join("opifex.db")).expect("it is there").len() as usize / PAGE;
    let pairs: Vec<(usize, usize)> =
        (0..pages).flat_map(|one| (one + 1..pages).map(move |other| (one, other))).collect();
    suffer(dir.path(), pairs.len(), |n, database| {
        let (one, other) = pairs[n];
        let (front, behind) = database.split_at_mut(other * PAGE);
        front[one * PAGE..(one + 1) * PAGE].swap_with_slice(&mut behind[..PAGE]);
        format!("pages {one} and {other} swapped")
    });
}

/// What was meant for one page was written to the next.
#[test]
fn a_page_that_stands_in_another_ones_place_too_is_an_error_or_named() {
    let dir = small();
    let pages = fs::metadata(dir.path().join("opifex.db")).expect("it is there").len() as usize / PAGE;
    suffer(dir.path(), pages * (pages - 1), |n, database| {
        let (from, to) = (n / (pages - 1), n % (pages - 1));
        let to = to + usize::from(to >= from);
        database.copy_within(from * PAGE..(from + 1) * PAGE, to * PAGE);
        format!("page {from} over page {to}")
    });
}

#[test]
fn files_that_are_cut_at_any_page_are_refused_or_named() {
    let dir = small();
    let pages = fs::metadata(dir.path().join("opifex.db")).expect("it is there").len() as usize / PAGE;
    suffer(dir.path(), pages, |page, database| {
        database.truncate(page * PAGE + (page % 3) * 100);
        format!("cut to {} bytes", database.len())
    });
}

#[test]
fn truncated_files_are_refused_or_named() {
    let dir = filled();
    let whole = read_all(dir.path()).expect("it is read");
    let database = fs::read(dir.path().join("opifex.db")).expect("it is there");
    for length in [1, 16, 50, 99, 512, 1023, 1024, 5000, database.len() / 2, database.len() - 1024] {
        let place = copy(dir.path());
        fs::write(place.path().join("opifex.db"), &database[..length]).expect("it is written");
        let shown = read_all(place.path());
        check(&shown, &whole, &format!("{length} bytes"));
        match shown {
            Err(error) => println!("{length}: {error}"),
            Ok(shown) => assert!(!shown.damaged.is_empty(), "{length} bytes are not all"),
        }
    }
}
