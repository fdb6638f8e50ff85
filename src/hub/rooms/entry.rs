//! One room: its book behind a short lock, and what is kept beside it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::hosts::{Hosts, Question};
use super::reply::Reply;
use crate::hub::entry::count;
use crate::state::room::{Book, RoomName};

/// A room, and what is kept beside its book.
pub struct RoomEntry {
    name: RoomName,
    book: Mutex<Book>,
    /// Everybody who uses it: its people, its hosts, requests.
    pub(super) users: AtomicUsize,
    people: AtomicUsize,
    pub(super) hosts: Hosts,
}

impl RoomEntry {
    pub(super) fn new(name: RoomName, book: Book) -> RoomEntry {
        RoomEntry {
            name,
            book: Mutex::new(book),
            users: AtomicUsize::new(0),
            people: AtomicUsize::new(0),
            hosts: Hosts::default(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &RoomName {
        &self.name
    }

    /// How many people are connected to it.
    pub fn people(&self) -> usize {
        self.people.load(Ordering::Relaxed)
    }

    /// How many hosts are.
    pub fn hosts(&self) -> usize {
        self.hosts.count()
    }

    /// Asks the host that is connected here.
    ///
    /// # Errors
    /// Gives the reply back, and says why nobody was asked.
    pub(in crate::hub) fn ask_host(
        &self,
        question: &Question<'_>,
        reply: Reply,
    ) -> Result<(), (Reply, &'static str)> {
        self.hosts.ask(question, reply)
    }

    /// How many live rows each channel has, in the order of the channels.
    pub fn row_counts(&self) -> Vec<usize> {
        let book = self.book();
        let channels = 0..book.channels().len();
        channels.map(|channel| book.table(channel).len()).collect()
    }

    /// What it holds. Nobody may wait for anything meanwhile.
    pub fn book(&self) -> MutexGuard<'_, Book> {
        // A panic elsewhere leaves the book whole: rows are put into it one by one.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_unused(&self) -> bool {
        self.users.load(Ordering::Relaxed) == 0 && self.book().is_empty()
    }

    /// Counts one more of its people, or one less.
    pub(super) fn count_person(&self, comes: bool) {
        count(&self.people, comes);
    }
}
