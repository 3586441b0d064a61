use std::time::Duration;

use super::*;

struct Fixture {
    folder: tempfile::TempDir,
    notices: Arc<Notices>,
    watches: Watches,
}

impl Fixture {
    fn new() -> Self {
        let notices = Arc::new(Notices::default());
        let folder = tempfile::tempdir().expect("a folder");
        Self { folder, watches: Watches::new(notices.clone()), notices }
    }

    fn path(&self, name: &str) -> Arc<Path> {
        resolved(self.folder.path()).expect("there").join(name).into()
    }

    fn folder(&self, name: &str) -> Arc<Path> {
        let path = self.path(name);
        std::fs::create_dir_all(&path).expect("created");
        path
    }

    /// Writes a file, and waits until it is noticed.
    async fn is_noticed(&self, path: &Path) {
        std::fs::write(path, b"x").expect("written");
        let noticed = async {
            while !self.notices.take().paths.contains(path) {
                self.notices.news().await;
            }
        };
        let noticed = tokio::time::timeout(Duration::from_secs(60), noticed).await;
        assert!(noticed.is_ok(), "{} is not noticed", path.display());
    }

    /// Writes a file that is not noticed: `witness`, written after it, is.
    async fn is_not_noticed(&self, path: &Path, witness: &Path) {
        std::fs::write(path, b"x").expect("written");
        std::fs::write(witness, b"x").expect("written");
        loop {
            let paths = self.notices.take().paths;
            assert!(!paths.contains(path), "{} is noticed", path.display());
            if paths.contains(witness) {
                return;
            }
            self.notices.news().await;
        }
    }
}

#[tokio::test]
async fn a_folder_with_all_in_it_or_only_itself() {
    let mut fixture = Fixture::new();
    let (flat, deep) = (fixture.folder("flat"), fixture.folder("deep/er"));
    let above: Arc<Path> = deep.parent().expect("a parent").into();
    fixture.folder("flat/sub");
    fixture.watches.settle(&flat, Some(false), false);
    fixture.watches.settle(&above, Some(true), false);
    fixture.is_noticed(&flat.join("a")).await;
    fixture.is_noticed(&deep.join("a")).await;
    fixture.is_not_noticed(&flat.join("sub/a"), &flat.join("b")).await;
    // One that is made later, once it is watched itself.
    std::fs::create_dir(deep.join("new")).expect("created");
    while !fixture.notices.take().paths.contains(&*deep.join("new")) {
        fixture.notices.news().await;
    }
    let late = deep.join("new/a");
    while !fixture.notices.take().paths.contains(&late) {
        std::fs::write(&late, b"x").expect("written");
        tokio::task::yield_now().await;
    }
    fixture.watches.settle(&above, None, false);
    fixture.is_not_noticed(&deep.join("c"), &flat.join("c")).await;
    assert!(fixture.watches.unwatched().is_empty());
}

#[tokio::test]
async fn those_within_one_another_keep_theirs() {
    let mut fixture = Fixture::new();
    let (outer, inner) = (fixture.folder("a"), fixture.folder("a/b"));
    fixture.watches.settle(&inner, Some(false), false);
    fixture.watches.settle(&outer, Some(true), false);
    fixture.watches.settle(&inner, None, false);
    fixture.is_noticed(&inner.join("1")).await;
    fixture.watches.settle(&inner, Some(false), false);
    fixture.watches.settle(&outer, None, false);
    fixture.is_noticed(&inner.join("2")).await;
    fixture.is_not_noticed(&outer.join("1"), &inner.join("3")).await;
}

#[tokio::test]
async fn what_is_not_there_is_watched_once_it_is_and_another_one_in_its_place_too() {
    let mut fixture = Fixture::new();
    let root = fixture.path("a");
    fixture.watches.settle(&root, Some(false), false);
    assert!(matches!(fixture.watches.unwatched().get(&root), Some(Unwatched::Failed(_))));
    fixture.folder("a");
    fixture.watches.settle(&root, Some(false), true);
    assert!(fixture.watches.unwatched().is_empty());
    assert!(fixture.watches.replaced().is_empty());
    fixture.is_noticed(&root.join("1")).await;
    std::fs::rename(&root, fixture.path("old")).expect("moved");
    assert_eq!(fixture.watches.replaced(), std::slice::from_ref(&root));
    fixture.folder("a");
    assert_eq!(fixture.watches.replaced(), std::slice::from_ref(&root));
    fixture.watches.settle(&root, Some(false), true);
    assert!(fixture.watches.replaced().is_empty());
    fixture.is_noticed(&root.join("2")).await;
}

#[tokio::test]
async fn a_folder_in_which_too_many_came_is_not_watched_as_it_should_be() {
    let mut fixture = Fixture::new();
    let root = fixture.folder("a");
    fixture.watches.settle(&root, Some(true), false);
    fixture.watches.limit_reached(&root.join("b/c"));
    assert_eq!(fixture.watches.unwatched().get(&root), Some(&Unwatched::Limit));
    fixture.is_noticed(&root.join("1")).await;
    fixture.watches.settle(&root, Some(true), true);
    assert!(fixture.watches.unwatched().is_empty());
}
