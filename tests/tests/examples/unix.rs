//! A server at a path removes no file but its own, and what a killed one left behind is replaced.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use crate::program::{Directory, ECHO, Ended, Program};

struct Place {
    _directory: Directory,
    path: PathBuf,
}

impl Place {
    fn new() -> Place {
        let directory = Directory::new();
        let path = directory.path().join("echo.sock");
        Place { _directory: directory, path }
    }

    fn try_start(&self) -> Result<Program, Ended> {
        Program::start(ECHO, &["--listen", &format!("unix:{}", self.path.display())])
    }

    fn start(&self) -> Program {
        self.try_start().unwrap_or_else(|ended| panic!("{}", ended.errors))
    }

    /// A server that is there already stays.
    fn is_refused(&self) {
        let ended = self.try_start().err().expect("it does not start");
        assert_eq!(ended.status.code(), Some(2));
        assert!(ended.errors.contains("in use"), "{}", ended.errors);
        assert!(fs::symlink_metadata(&self.path).is_ok(), "the file is still there");
    }
}

fn is_served(path: &Path) {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.write_all(b"hello").unwrap();
    let mut echo = [0; 5];
    stream.read_exact(&mut echo).unwrap();
    assert_eq!(&echo, b"hello");
}

#[test]
fn a_server_that_is_stopped_leaves_no_file() {
    let place = Place::new();
    let server = place.start();
    is_served(&place.path);
    assert!(server.stop().status.success());
    assert!(!place.path.exists());
}

#[test]
fn a_server_that_was_killed_can_be_started_again() {
    let place = Place::new();
    for _ in 0..3 {
        let server = place.start();
        is_served(&place.path);
        server.kill();
        assert!(place.path.exists(), "it had no chance to remove it");
    }
    let server = place.start();
    is_served(&place.path);
    assert!(server.stop().status.success());
    assert!(!place.path.exists());
}

#[test]
fn a_second_server_does_not_take_the_path_of_the_first() {
    let place = Place::new();
    let server = place.start();
    place.is_refused();
    is_served(&place.path);
    assert!(server.stop().status.success());
}

#[test]
fn a_server_does_not_remove_its_successors_file() {
    let place = Place::new();
    let first = place.start();
    // Somebody makes way for another one by hand.
    fs::remove_file(&place.path).unwrap();
    let second = place.start();
    assert!(first.stop().status.success());
    is_served(&place.path);
    assert!(second.stop().status.success());
    assert!(!place.path.exists());
}

#[test]
fn a_server_whose_queue_is_full_is_not_taken_for_gone() {
    let place = Place::new();
    let listener = UnixListener::bind(&place.path).unwrap();
    // One may wait, and does.
    rustix::net::listen(&listener, 0).unwrap();
    let _waiting = UnixStream::connect(&place.path).unwrap();
    place.is_refused();
    drop(listener);
    is_served_by_a_new_one(&place);
}

fn is_served_by_a_new_one(place: &Place) {
    let server = place.start();
    is_served(&place.path);
    server.kill();
}

#[test]
fn what_is_no_socket_stays_where_it_is() {
    let place = Place::new();
    fs::write(&place.path, "precious").unwrap();
    place.is_refused();
    assert_eq!(fs::read_to_string(&place.path).unwrap(), "precious");

    // Nor is a link, whatever it leads to.
    let stale = place.path.with_file_name("stale.sock");
    drop(UnixListener::bind(&stale).unwrap());
    fs::remove_file(&place.path).unwrap();
    symlink(&stale, &place.path).unwrap();
    place.is_refused();
    assert!(stale.exists());
}

#[test]
fn of_two_that_find_a_stale_file_at_once_one_serves() {
    let place = Place::new();
    for _ in 0..20 {
        drop(fs::remove_file(&place.path));
        drop(UnixListener::bind(&place.path).unwrap());
        let started: Vec<_> = std::thread::scope(|scope| {
            let both = [(); 2].map(|()| scope.spawn(|| place.try_start()));
            both.into_iter().map(|one| one.join().unwrap()).collect()
        });
        is_served(&place.path);
        let refused = started.iter().filter(|started| started.is_err()).count();
        assert_eq!(refused, 1);
    }
}
