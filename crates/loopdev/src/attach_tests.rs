//! Checks of a file that need no loop device, and the old kernels' way of attaching.

use super::*;

fn make(dir: &Path, size: u64) -> PathBuf {
    let path = dir.join("backing");
    File::create(&path).unwrap().set_len(size).unwrap();
    path
}

#[test]
fn a_missing_file_is_told_with_how_to_make_it() {
    let error = open_backing(Path::new("/nonexistent/backing")).unwrap_err();
    assert!(matches!(error, Error::Missing(_)));
    assert!(error.to_string().contains("fallocate -l"), "{error}");
}

#[test]
fn what_is_no_regular_file_is_refused() {
    let error = open_backing(Path::new("/")).unwrap_err();
    assert!(matches!(error, Error::NotRegular(_)), "{error}");
    let error = open_backing(Path::new("/dev/null")).unwrap_err();
    assert!(matches!(error, Error::NotRegular(_)), "{error}");
}

#[test]
fn an_empty_file_and_one_that_is_not_whole_sectors_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for size in [0, 1, 511, 513, 1_000_000] {
        let error = open_backing(&make(dir.path(), size)).unwrap_err();
        assert!(matches!(error, Error::Size { .. }), "{size}: {error}");
    }
}

#[test]
fn the_holes_of_a_sparse_file_are_allocated_and_its_data_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = make(dir.path(), 1 << 20);
    std::os::unix::fs::FileExt::write_all_at(
        &OpenOptions::new().write(true).open(&path).unwrap(),
        b"data",
        70_000,
    )
    .unwrap();
    let before = std::fs::read(&path).unwrap();
    let file = open_backing(&path).unwrap();
    match blocks::allocate(&path, &file).unwrap() {
        Allocation::Filled(bytes) => {
            assert!(bytes > 0);
            assert!(path.metadata().unwrap().blocks() * SECTOR >= 1 << 20);
            assert_eq!(blocks::allocate(&path, &file).unwrap(), Allocation::Whole);
        }
        // A temporary directory may be on anything.
        Allocation::Sparse(why) => assert!(why.contains("cannot allocate"), "{why}"),
        Allocation::Whole => panic!("the file has no holes"),
    }
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn holes_that_would_fill_the_file_system_are_left_and_told() {
    let dir = tempfile::tempdir().unwrap();
    // More than any disk that tests run on.
    let path = make(dir.path(), 1 << 43);
    let file = open_backing(&path).unwrap();
    let Allocation::Sparse(why) = blocks::allocate(&path, &file).unwrap() else {
        panic!("8 TiB were allocated");
    };
    assert!(
        why.contains("too little") && why.contains("fallocate -l"),
        "{why}"
    );
    assert!(path.metadata().unwrap().blocks() * SECTOR < 1 << 20);
}

#[test]
fn a_second_instance_waits_for_the_lock_of_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let path = make(dir.path(), 512);
    let held = lock(&path).unwrap();
    let other = std::thread::spawn({
        let path = path.clone();
        move || lock(&path).map(drop)
    });
    std::thread::sleep(Duration::from_millis(120));
    assert!(!other.is_finished());
    drop(held);
    other.join().unwrap().unwrap();
}

#[test]
fn the_two_steps_of_old_kernels_attach_as_the_one_of_new_ones_does() {
    let host = Host::default();
    let Ok(control) = OpenOptions::new().write(true).open("/dev/loop-control") else {
        eprintln!("SKIPPED: no loop devices here");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let path = make(dir.path(), 1 << 20);
    let file = open_backing(&path).unwrap();
    let info = sys::Info::new(path.as_os_str().as_bytes(), 0);
    loop {
        let number = sys::get_free(&control).unwrap();
        let opened = open_device(&host.dev.join(format!("loop{number}"))).unwrap();
        match configure_in_steps(&opened, &file, info, true) {
            Err(Errno::EBUSY) => continue,
            other => other.unwrap(),
        }
        let found = find(&host, &file, &path, &mut Vec::new());
        sys::clear(&opened).unwrap();
        let found = found.unwrap().unwrap();
        assert_eq!(Some(number), found.number());
        assert_eq!(found.backing_file, path);
        break;
    }
}
