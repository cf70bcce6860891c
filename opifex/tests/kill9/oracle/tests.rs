//! For each promise a journal that keeps it and one that breaks it: the oracle has to see the difference.

mod journal;

mod delivery;
mod starts;
mod state;
mod wills;
mod window;
