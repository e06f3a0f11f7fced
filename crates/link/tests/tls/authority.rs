//! The authority's directory: made once, kept, mended where nothing is lost by it, refused where something would be.

use std::fs;
use std::path::Path;

use landfall_link::tls::{Authority, AuthorityError, Names};
use openssl::x509::X509;

fn names(hosts: &[&str]) -> Names {
    Names::new().with_hosts(hosts).unwrap()
}

fn read(dir: &Path) -> [Vec<u8>; 4] {
    ["ca.key", "ca.pem", "server.key", "server.pem"].map(|name| fs::read(dir.join(name)).unwrap())
}

#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn it_is_made_once_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    // Its parent is missing too.
    let dir = dir.path().join("data/ca");
    let first = Authority::open_or_create(&dir, &names(&["*.tuyaeu.com", "10.0.0.1"])).unwrap();
    let files = read(&dir);
    let second = Authority::open_or_create(&dir, &names(&["10.0.0.1", "*.tuyaeu.com"])).unwrap();
    assert_eq!(read(&dir), files);
    assert_eq!((first.der(), first.pem()), (second.der(), second.pem()));
    assert_eq!(first.fingerprint(), second.fingerprint());
    assert_eq!(first.fingerprint().len(), 32 * 3 - 1);
    assert_eq!(first.pem().as_bytes(), files[1]);
    assert_eq!(X509::from_pem(first.pem().as_bytes()).unwrap().to_der().unwrap(), first.der());
    assert!(first.der().len() < 1000, "it must fit into the name service's answer");
    let listed: Vec<_> = fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(listed.len(), 5, "four files and the lock: {listed:?}");
    #[cfg(unix)]
    {
        assert_eq!(mode(&dir), 0o700);
        for (name, bits) in [("ca.key", 0o600), ("server.key", 0o600)] {
            assert_eq!(mode(&dir.join(name)), bits, "{name}");
        }
    }
}

#[test]
fn certificates_are_what_devices_can_check() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::open_or_create(dir.path(), &names(&["*.tuyaeu.com", "fd00::1"])).unwrap();
    let ca = X509::from_pem(authority.pem().as_bytes()).unwrap();
    let leaf = X509::from_pem(&fs::read(dir.path().join("server.pem")).unwrap()).unwrap();
    assert!(ca.verify(&ca.public_key().unwrap()).unwrap());
    assert!(leaf.verify(&ca.public_key().unwrap()).unwrap());
    for certificate in [&ca, &leaf] {
        // Good at second 0 of a clock that was never set, and in the short form of dates.
        assert_eq!(certificate.not_before().to_string(), "Jan  1 00:00:00 1970 GMT");
        assert_eq!(certificate.not_after().to_string(), "Dec 31 23:59:59 2049 GMT");
        assert_eq!(certificate.version(), 2);
        assert_eq!(certificate.public_key().unwrap().rsa().unwrap().size(), 256);
        assert_eq!(certificate.signature_algorithm().object().to_string(), "sha256WithRSAEncryption");
    }
    assert_eq!(ca.issued(&leaf), openssl::x509::X509VerifyResult::OK);
    let names: Vec<_> = leaf.subject_alt_names().unwrap().into_iter().collect();
    let dns: Vec<_> = names.iter().filter_map(|n| n.dnsname()).collect();
    assert_eq!(dns, ["*.tuyaeu.com", "fd00::1"]);
    assert_eq!(names.iter().filter_map(|n| n.ipaddress()).map(<[u8]>::len).collect::<Vec<_>>(), [16]);
}

#[test]
fn other_names_make_another_server_certificate_under_the_same_authority() {
    let dir = tempfile::tempdir().unwrap();
    let first = Authority::open_or_create(dir.path(), &names(&["*.tuyaeu.com"])).unwrap();
    let before = read(dir.path());
    let second = Authority::open_or_create(dir.path(), &names(&["*.tuyaeu.com", "192.168.1.5"])).unwrap();
    let after = read(dir.path());
    assert_eq!(first.der(), second.der());
    assert_eq!(before[..3], after[..3]);
    assert_ne!(before[3], after[3]);
    let leaf = X509::from_pem(&after[3]).unwrap();
    assert!(leaf.subject_alt_names().unwrap().iter().any(|n| n.ipaddress() == Some(&[192, 168, 1, 5])));
}

#[test]
fn renewing_replaces_all() {
    let dir = tempfile::tempdir().unwrap();
    let names = names(&["*.tuyaeu.com"]);
    let first = Authority::open_or_create(dir.path(), &names).unwrap();
    let before = read(dir.path());
    let second = Authority::renew(dir.path(), &names).unwrap();
    assert_ne!(first.fingerprint(), second.fingerprint());
    for (old, new) in before.iter().zip(&read(dir.path())) {
        assert_ne!(old, new);
    }
    let subject = |a: &Authority| format!("{:?}", X509::from_pem(a.pem().as_bytes()).unwrap().subject_name());
    assert_ne!(subject(&first), subject(&second), "a device that knows the old one is not confused");
    let third = Authority::open_or_create(dir.path(), &names).unwrap();
    assert_eq!(second.fingerprint(), third.fingerprint());
}

#[test]
fn what_was_lost_of_the_server_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let names = names(&["*.tuyaeu.com"]);
    let first = Authority::open_or_create(dir.path(), &names).unwrap();
    for lost in [&["server.pem"][..], &["server.key"], &["server.key", "server.pem"]] {
        for name in lost {
            fs::remove_file(dir.path().join(name)).unwrap();
        }
        let again = Authority::open_or_create(dir.path(), &names).unwrap();
        assert_eq!(first.der(), again.der());
        assert!(landfall_link::tls::Acceptor::new(None, Some(again.server().clone()), "").is_ok());
        read(dir.path());
    }
}

#[test]
fn a_damaged_directory_names_the_file_and_the_next_step_and_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let names = names(&["*.tuyaeu.com"]);
    Authority::open_or_create(dir.path(), &names).unwrap();
    let whole = read(dir.path());
    let files = ["ca.key", "ca.pem", "server.key", "server.pem"];
    let half = |text: &[u8]| text[..text.len() / 2].to_vec();
    let cases: Vec<(&str, Option<Vec<u8>>, &str)> = vec![
        ("ca.key", None, "is missing"),
        ("ca.pem", None, "is missing"),
        ("ca.key", Some(half(&whole[0])), "holds no private key"),
        ("ca.key", Some(Vec::new()), "holds no private key"),
        ("ca.pem", Some(half(&whole[1])), "holds no certificate"),
        ("ca.pem", Some(vec![b'x'; 100_000]), "is larger than any key or certificate"),
        ("ca.pem", Some(whole[3].clone()), "does not belong to ca.key"),
        ("server.key", Some(half(&whole[2])), "holds no private key"),
        ("server.pem", Some(b"hello".to_vec()), "holds no certificate"),
    ];
    for (file, content, what) in cases {
        let path = dir.path().join(file);
        match &content {
            Some(content) => fs::write(&path, content).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let e = Authority::open_or_create(dir.path(), &names).unwrap_err();
        assert!(matches!(&e, AuthorityError::Damaged { path: p, .. } if *p == path), "{e:?}");
        let text = e.to_string();
        assert!(text.contains(what), "{text}");
        assert!(text.contains(if file.starts_with("ca") { "backup" } else { "remove it" }), "{text}");
        for (name, text) in files.iter().zip(&whole) {
            if *name != file {
                assert_eq!(&fs::read(dir.path().join(name)).unwrap(), text, "{name} was touched");
            }
        }
        fs::write(&path, &whole[files.iter().position(|f| *f == file).unwrap()]).unwrap();
    }
    Authority::open_or_create(dir.path(), &names).unwrap();
}

#[test]
fn a_renewal_that_died_halfway_is_finished_or_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let names = names(&["*.tuyaeu.com"]);
    let old = Authority::open_or_create(dir.path(), &names).unwrap();
    let new = Authority::open_or_create(other.path(), &names).unwrap();

    // Died while writing: nothing has happened.
    fs::create_dir(dir.path().join("renewal.tmp")).unwrap();
    fs::write(dir.path().join("renewal.tmp/ca.key"), "half a k").unwrap();
    let found = Authority::open_or_create(dir.path(), &names).unwrap();
    assert_eq!(found.fingerprint(), old.fingerprint());
    assert!(!dir.path().join("renewal.tmp").exists());

    // Died while moving: the first file is in its place already.
    let texts = read(other.path());
    fs::create_dir(dir.path().join("renewal")).unwrap();
    fs::write(dir.path().join("ca.key"), &texts[0]).unwrap();
    for (name, text) in ["ca.pem", "server.key", "server.pem"].iter().zip(&texts[1..]) {
        fs::write(dir.path().join("renewal").join(name), text).unwrap();
    }
    let found = Authority::open_or_create(dir.path(), &names).unwrap();
    assert_eq!(found.fingerprint(), new.fingerprint());
    assert_eq!(read(dir.path()), texts);
    assert!(!dir.path().join("renewal").exists());
}

#[test]
fn many_at_once_find_one_authority() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca");
    let found: Vec<String> = std::thread::scope(|scope| {
        let open = || Authority::open_or_create(&path, &names(&["*.tuyaeu.com"])).unwrap().fingerprint();
        let threads: Vec<_> = (0..6).map(|_| scope.spawn(open)).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert!(found.iter().all(|f| f == &found[0]), "{found:?}");
}

#[cfg(unix)]
#[test]
fn keys_that_others_could_read_are_taken_from_them() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let names = names(&["*.tuyaeu.com"]);
    Authority::open_or_create(dir.path(), &names).unwrap();
    let key = dir.path().join("ca.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    Authority::open_or_create(dir.path(), &names).unwrap();
    assert_eq!((mode(&key), mode(dir.path())), (0o600, 0o700));
}

#[test]
fn what_is_printed_of_it_holds_no_key() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::open_or_create(dir.path(), &names(&["*.tuyaeu.com"])).unwrap();
    let text = format!("{authority:?} {:?}", authority.server());
    assert!(text.contains(&authority.fingerprint()));
    assert!(!text.contains("PRIVATE") && text.len() < 400, "{text}");
}
