//! Wake-ups between stores, where the sockets are out of the ordinary.

use std::{
    fs,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::conformance::{Bed, commit, organization, waking};
use keyward_store::{Change, Revision, Store};

fn sockets(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join("hints")).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn bed_in(folder: &Path) -> Bed {
    fs::create_dir_all(folder).unwrap();
    crate::bed_in(folder)
}

async fn begin_to_wait(store: &dyn Store, known: Revision) {
    let _ = tokio::time::timeout(Duration::from_millis(1), store.wait_for_change(known)).await;
}

#[tokio::test]
async fn a_folder_whose_path_is_too_long_for_a_socket_has_sockets_all_the_same() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("a".repeat(100)).join("b".repeat(100));
    let bed = bed_in(&folder);
    begin_to_wait(&*bed.second, Revision::ZERO).await;
    assert_eq!(sockets(&folder).len(), 1);
    waking::a_waiter_is_woken_by_another_store(bed).await;
}

#[tokio::test]
async fn where_there_can_be_no_sockets_a_waiter_polls() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("hints"), "in the way").unwrap();
    waking::a_waiter_is_woken_by_another_store(bed_in(folder.path())).await;
}

#[tokio::test]
async fn sockets_of_the_dead_are_removed_and_those_of_the_living_stay() {
    let folder = tempfile::tempdir().unwrap();
    let bed = bed_in(folder.path());
    begin_to_wait(&*bed.second, Revision::ZERO).await;
    let living = sockets(folder.path());
    let dead = folder.path().join("hints/1-dead.sock");
    drop(UnixDatagram::bind(&dead).unwrap());
    fs::write(folder.path().join("hints/readme"), "not a socket").unwrap();
    commit(&bed.store, Change::CreateOrganization(organization("org"))).await.unwrap();
    assert!(!dead.exists());
    assert!(living.iter().all(|socket| socket.exists()));
    assert!(folder.path().join("hints/readme").exists());
    drop(bed);
    assert_eq!(sockets(folder.path()).len(), 1, "a store that is closed takes its socket along");
}

#[tokio::test]
async fn a_listener_that_does_not_listen_holds_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    let bed = bed_in(folder.path());
    let deaf = UnixDatagram::bind(folder.path().join("hints/1-deaf.sock")).unwrap();
    for number in 0..1000 {
        let change = Change::CreateOrganization(organization(&format!("org{number}")));
        commit(&bed.store, change).await.unwrap();
    }
    drop(deaf);
}
