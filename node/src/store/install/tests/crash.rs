//! The machine stops at every step in turn; after a restart nothing is lost and nothing is mixed.

use super::*;

/// What lies at the target before, and what the job may do to it.
#[derive(Debug, Clone, Copy)]
struct Case {
    old: Option<&'static [u8]>,
    force: bool,
    base: Option<&'static [u8]>,
}

const CASES: [Case; 6] = [
    Case { old: None, force: false, base: None },
    Case { old: None, force: true, base: None },
    Case { old: Some(OLD), force: false, base: None },
    Case { old: Some(OLD), force: true, base: None },
    Case { old: Some(OLD), force: true, base: Some(OLD) },
    Case { old: Some(OLD), force: true, base: Some(NEW) },
];

impl Case {
    fn facts(self) -> InstallFacts {
        InstallFacts { base: self.base.map(ContentHash::of), ..facts() }
    }

    async fn fixture(self, os: OsFs) -> (Fixture, JobId, PathBuf) {
        let fixture = Fixture::with(os);
        if let Some(old) = self.old {
            std::fs::write(fixture.path("file.txt"), old).expect("written");
        }
        let (id, temporary) = ready(&fixture, options(self.force)).await;
        (fixture, id, temporary)
    }

    /// All files before.
    fn before(self, temporary: &Path) -> Vec<(String, Vec<u8>)> {
        let name = temporary.file_name().and_then(|name| name.to_str()).expect("a name");
        let mut expected = vec![(name, NEW)];
        expected.extend(self.old.map(|old| ("file.txt", old)));
        files(&expected)
    }

    /// All files after.
    fn after(self) -> Vec<(String, Vec<u8>)> {
        let mut expected = vec![("file.txt", NEW)];
        let kept = self.old.filter(|old| self.base != Some(*old));
        expected.extend(kept.map(|old| (KEPT, old)));
        files(&expected)
    }

    fn succeeds(self) -> bool {
        self.force || self.old.is_none()
    }
}

/// After a restart: recovered to the state before or after, and in step with the database.
async fn check(fixture: &mut Fixture, case: Case, id: JobId, temporary: &Path, step: &str) {
    fixture.fs.clear();
    fixture.reopen().await;
    for recovered in fixture.store.recover(NOW).await.expect("recovers") {
        recovered.outcome.unwrap_or_else(|error| panic!("{case:?} {step}: {error}"));
    }
    assert!(intents(fixture).await.is_empty(), "{case:?} {step}");
    let found = job(fixture, id).await;
    match found.state {
        JobState::Installed => {
            assert_eq!(fixture.files(), case.after(), "{case:?} {step}");
            let holding = held(fixture).await.expect("held");
            let state = crate::store::check(&OsFs::new(), &holding).expect("asked");
            assert!(state == HoldingState::Ok || step.starts_with("renumbered"), "{case:?} {step}");
        }
        _ => {
            assert_eq!(fixture.files(), case.before(temporary), "{case:?} {step}");
            assert_eq!(
                (found.temporary.as_deref(), found.done.len()),
                (Some(temporary), 1),
                "{case:?} {step}"
            );
            assert!(held(fixture).await.is_none());
        }
    }
    // And the job can be brought to its end.
    if case.succeeds() && found.state != JobState::Installed {
        fixture.store.install(id, case.facts(), NOW).await.expect("installed");
        assert_eq!(fixture.files(), case.after(), "{case:?} {step}");
    }
}

#[tokio::test]
async fn at_every_step() {
    for os in [OsFs::new, OsFs::without_rename_flags] {
        for case in CASES {
            let (fixture, id, _) = case.fixture(os()).await;
            let before = fixture.fs.calls();
            let result = fixture.store.install(id, case.facts(), NOW).await;
            assert_eq!(result.is_ok(), case.succeeds(), "{case:?}: {result:?}");
            let steps = fixture.fs.calls() - before;
            assert!(steps > 8, "{steps}");
            for step in 0..=steps {
                let (mut fixture, id, temporary) = case.fixture(os()).await;
                fixture.fs.die_after(step);
                let result = fixture.store.install(id, case.facts(), NOW).await;
                assert_eq!(fixture.fs.is_dead(), step < steps);
                assert!(result.is_err() || !fixture.fs.is_dead() && case.succeeds());
                check(&mut fixture, case, id, &temporary, &format!("step {step} of {steps}")).await;
            }
        }
    }
}

/// The recovery itself may be interrupted, at every step of it, after every step of the installation.
#[tokio::test]
async fn in_the_recovery_too() {
    let case = CASES[3];
    for os in [OsFs::new, OsFs::without_rename_flags] {
        for step in 8..20 {
            for again in 0..8 {
                let (mut fixture, id, temporary) = case.fixture(os()).await;
                fixture.fs.die_after(step);
                let _ = fixture.store.install(id, case.facts(), NOW).await;
                fixture.fs.clear();
                fixture.reopen().await;
                fixture.fs.die_after(again);
                let _ = fixture.store.recover(NOW).await;
                check(&mut fixture, case, id, &temporary, &format!("step {step}, then {again}")).await;
            }
        }
    }
}

/// Stops right after the intent was committed.
async fn intended(case: Case) -> (Fixture, JobId, PathBuf, Intent) {
    for step in 0.. {
        let (mut fixture, id, temporary) = case.fixture(OsFs::new()).await;
        fixture.fs.die_after(step);
        let _ = fixture.store.install(id, case.facts(), NOW).await;
        fixture.fs.clear();
        fixture.reopen().await;
        if let Some(intent) = intents(&fixture).await.pop() {
            assert!(temporary.exists());
            return (fixture, id, temporary, intent);
        }
    }
    unreachable!("an intent is written")
}

/// Where renames are made of links, the machine can stop between the two.
#[tokio::test]
async fn between_a_link_and_its_rename() {
    for case in [CASES[3], CASES[4]] {
        let (mut fixture, id, temporary, intent) = intended(case).await;
        std::fs::hard_link(&intent.target, &intent.keep).expect("linked");
        check(&mut fixture, case, id, &temporary, "old file linked").await;

        let (mut fixture, id, temporary, intent) = intended(case).await;
        std::fs::hard_link(&intent.target, &intent.keep).expect("linked");
        std::fs::rename(&intent.temporary, &intent.target).expect("renamed");
        check(&mut fixture, case, id, &temporary, "renamed over the old file").await;
        assert_eq!(job(&fixture, id).await.state, JobState::Installed);
    }
    let (mut fixture, id, temporary, intent) = intended(CASES[3]).await;
    std::fs::rename(&intent.target, fixture.path("old")).expect("renamed");
    std::fs::rename(&intent.temporary, &intent.target).expect("renamed");
    std::fs::rename(fixture.path("old"), &intent.temporary).expect("renamed");
    std::fs::hard_link(&intent.temporary, &intent.keep).expect("linked");
    check(&mut fixture, CASES[3], id, &temporary, "exchanged, the old file linked to its kept name").await;

    let (mut fixture, id, temporary, intent) = intended(CASES[0]).await;
    std::fs::hard_link(&intent.temporary, &intent.target).expect("linked");
    check(&mut fixture, CASES[0], id, &temporary, "new file linked").await;
    assert_eq!(job(&fixture, id).await.state, JobState::Installed);
}

/// Some file systems number their files anew at each mount: then the content tells.
#[tokio::test]
async fn with_other_inode_numbers() {
    let renumber = "UPDATE intent SET inode = -1";
    for case in [CASES[0], CASES[3]] {
        let (mut fixture, id, temporary, _) = intended(case).await;
        fixture.store.db().write("renumber", move |t| t.execute(renumber, [])).await.expect("written");
        check(&mut fixture, case, id, &temporary, "renumbered, not renamed").await;
    }
    let (mut fixture, id, temporary, intent) = intended(CASES[0]).await;
    std::fs::rename(&intent.temporary, &intent.target).expect("renamed");
    fixture.store.db().write("renumber", move |t| t.execute(renumber, [])).await.expect("written");
    check(&mut fixture, CASES[0], id, &temporary, "renamed, renumbered").await;
    assert_eq!(job(&fixture, id).await.state, JobState::Installed);
}

/// The user saved over the new file before the node started again: nothing of the user's goes.
#[tokio::test]
async fn what_the_user_did_meanwhile_stays() {
    let (mut fixture, id, temporary, intent) = intended(CASES[3]).await;
    // As exchanged, and then something else renamed over the new file, whose inode is not given to another one.
    let _new = std::fs::File::open(&intent.temporary).expect("opens");
    std::fs::rename(&intent.target, &intent.temporary).expect("renamed");
    std::fs::write(&intent.target, b"saved by the user").expect("written");
    fixture.reopen().await;
    let recovered = fixture.store.recover(NOW).await.expect("recovers");
    assert!(matches!(&recovered[..], [one] if matches!(one.outcome, Ok(None))), "{recovered:?}");
    assert!(!temporary.exists());
    assert_eq!(fixture.files(), files(&[("file.txt", b"saved by the user"), (KEPT, OLD)]));
    let found = job(&fixture, id).await;
    assert!(found.temporary.is_none() && found.done.is_empty());
    assert!(intents(&fixture).await.is_empty());

    // Removed altogether, before anything happened: the job starts from nothing.
    let (fixture, id, temporary, _) = intended(CASES[0]).await;
    std::fs::remove_file(&temporary).expect("removed");
    fixture.store.recover(NOW).await.expect("recovers");
    assert!(job(&fixture, id).await.temporary.is_none());
    assert!(fixture.files().is_empty());
}

/// After an exchange the temporary name leads to the user's file: nobody may take it for the download.
#[tokio::test]
async fn an_old_file_is_never_taken_for_a_download() {
    for fault in [FsOp::SyncFolder, FsOp::RenameNew] {
        let fixture = Fixture::new();
        std::fs::write(fixture.path("file.txt"), OLD).expect("written");
        let (id, temporary) = ready(&fixture, options(true)).await;
        let partial = fixture.store.open_partial(id, NOW).await.expect("opened").file;
        // The first rename finds the target taken, the second moves the old file.
        let nth = if fault == FsOp::RenameNew { 2 } else { 1 };
        fixture.fs.inject(Fault { nth, ..Fault::first(fault, 5) });
        fixture.store.install(id, facts(), NOW).await.expect_err("injected");
        assert_eq!(std::fs::read(&temporary).expect("there"), OLD, "exchanged");
        assert_eq!(job(&fixture, id).await.temporary, None);
        partial.discard();
        assert_eq!(std::fs::read(&temporary).expect("there"), OLD);
        match fault {
            FsOp::SyncFolder => {
                let result = fixture.store.open_partial(id, NOW).await;
                assert!(matches!(result, Err(crate::store::PartialError::Installed(_))), "{result:?}");
            }
            _ => {
                let removed = fixture.store.remove_job(id, NOW).await.expect("removed").expect("was there");
                assert_eq!(removed.state, JobState::Installed);
            }
        }
        assert_eq!(fixture.files(), CASES[3].after());
    }
}

/// A disk that is not mounted at the start must not make the node forget under which name the old file is.
#[tokio::test]
async fn files_on_a_disk_that_is_away_are_waited_for() {
    let (mut fixture, id, temporary, _) = intended(CASES[3]).await;
    let away = |fixture: &Fixture| fixture.path("").with_file_name("away");
    std::fs::rename(fixture.path(""), away(&fixture)).expect("renamed");
    for mountpoint in [false, true] {
        if mountpoint {
            std::fs::create_dir(fixture.path("")).expect("created");
            let device = "UPDATE intent SET device = device + 1";
            fixture.store.db().write("renumber", move |t| t.execute(device, [])).await.expect("written");
        }
        let recovered = fixture.store.recover(NOW).await.expect("asked");
        assert!(matches!(&recovered[..], [one] if matches!(one.outcome, Err(InstallError::Unreachable(_)))));
        assert_eq!(intents(&fixture).await.len(), 1);
    }
    std::fs::remove_dir(fixture.path("")).expect("removed");
    std::fs::rename(away(&fixture), fixture.path("")).expect("renamed");
    check(&mut fixture, CASES[3], id, &temporary, "there again").await;

    let (fixture, id, _, _) = intended(CASES[3]).await;
    std::fs::rename(fixture.path(""), away(&fixture)).expect("renamed");
    fixture.store.remove_job(id, NOW).await.expect("removed").expect("was there");
    assert!(intents(&fixture).await.is_empty());
}
