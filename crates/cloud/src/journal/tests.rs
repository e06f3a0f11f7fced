use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;
use std::sync::Mutex;

use super::files::{Disk, Out, RealDisk};
use super::inbox::QUEUE;
use super::*;
use crate::mqtt::replay::{Counting, Memory, Verdict};

const NEVER: Duration = Duration::from_secs(3_600);

fn id(name: &str) -> DeviceId {
    DeviceId::new(name).unwrap()
}

fn entry(device: &str, n: u32) -> Entry {
    Entry {
        at_ms: 1_700_000_000_000 + u64::from(n),
        device: id(device),
        cid: None,
        stamp: Some(Stamp::device(n)),
        dps: Arc::new(serde_json::from_str(&format!(r#"{{"1":true,"19":{n}}}"#)).unwrap()),
    }
}

/// All lines of all files, in order.
fn lines(dir: &Path) -> Vec<serde_json::Value> {
    let journal = dir.join("cloud/journal");
    let mut files: Vec<_> = std::fs::read_dir(journal).unwrap().map(|f| f.unwrap().path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "jsonl"));
    files.sort();
    let text = files.iter().map(|f| std::fs::read_to_string(f).unwrap()).collect::<String>();
    text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_report_is_on_disk_soon_as_one_compact_line() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    let mut of_child = entry("bf02", 8);
    of_child.cid = Some(Cid::new("a4c1").unwrap());
    of_child.stamp = None;
    journal.record(entry("bf01", 7));
    journal.record(of_child);
    // Nobody asks for it: the writer's own clock does it.
    journal.written(2).await;
    let file = dir.path().join("cloud/journal/00000001.jsonl");
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        "{\"at\":1700000000007,\"device\":\"bf01\",\"dps\":{\"1\":true,\"19\":7},\"stamp\":[7,1]}\n\
         {\"at\":1700000000008,\"device\":\"bf02\",\"cid\":\"a4c1\",\"dps\":{\"1\":true,\"19\":8}}\n"
    );
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    assert_eq!(mode(&dir.path().join("cloud/journal/state.json")), 0o600);
    assert_eq!((journal.health().written, journal.health().dropped), (2, 0));
}

#[tokio::test]
async fn the_end_and_the_numbers_are_known_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    assert_eq!((journal.last_end(), journal.last_stamps().len()), (LastEnd::None, 0));
    journal.record(entry("bf01", 41));
    journal.record(entry("bf01", 42));
    assert!(journal.close().await);
    let journal = Journal::open(dir.path()).unwrap();
    assert_eq!(journal.last_end(), LastEnd::Orderly);
    assert_eq!(journal.last_stamps().get(&id("bf01")), Some(&Stamp::device(42)));
    // Two at a time would tear each other's lines.
    assert!(matches!(Journal::open(dir.path()), Err(JournalError::InUse { .. })));
}

#[tokio::test]
async fn a_torn_last_line_is_cut_off_and_the_rest_counts() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("cloud/journal/00000001.jsonl");
    let journal = Journal::open(dir.path()).unwrap();
    for n in 1..=3 {
        journal.record(entry("bf01", n));
    }
    assert!(journal.close().await);
    let whole = std::fs::read(&file).unwrap();
    let start_of_last = whole[..whole.len() - 1].iter().rposition(|b| *b == b'\n').unwrap() + 1;
    for cut in start_of_last + 1..whole.len() {
        std::fs::write(&file, &whole[..cut]).unwrap();
        std::fs::remove_file(dir.path().join("cloud/journal/state.json")).unwrap();
        let journal = Journal::open(dir.path()).unwrap();
        assert_eq!(journal.last_end(), LastEnd::Killed);
        assert_eq!(journal.last_stamps().get(&id("bf01")), Some(&Stamp::device(2)), "cut at {cut}");
        assert_eq!(journal.health().damaged, 1);
        journal.record(entry("bf01", 9));
        assert!(journal.close().await);
        let lines = lines(dir.path());
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[2]["stamp"], serde_json::json!([9, 1]));
    }
}

#[tokio::test]
async fn damaged_lines_and_a_damaged_state_cost_only_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    journal.record(entry("bf01", 5));
    assert!(journal.close().await);
    let file = dir.path().join("cloud/journal/00000001.jsonl");
    let mut text = std::fs::read(&file).unwrap();
    let good = text.clone();
    text.extend(b"\xff\xfe not json\n");
    text.extend(vec![b'x'; super::line::MAX * 2 + 17]);
    text.push(b'\n');
    text.extend(String::from_utf8(good).unwrap().replace("[5,1]", "[6,1]").into_bytes());
    std::fs::write(&file, &text).unwrap();
    std::fs::write(dir.path().join("cloud/journal/state.json"), "{").unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    assert_eq!(journal.last_stamps().get(&id("bf01")), Some(&Stamp::device(6)));
    assert_eq!((journal.health().damaged, journal.last_end()), (2, LastEnd::Killed));
    assert!(journal.close().await);
    assert_eq!(std::fs::read(&file).unwrap(), text, "what we don't understand is left alone");
}

#[tokio::test]
async fn size_is_bounded_and_numbers_outlive_their_lines() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Journal::open_with(dir.path(), Box::new(RealDisk), NEVER, 400, 3).unwrap();
    let journal = open();
    journal.record(entry("bfonce", 77));
    for n in 0..40 {
        journal.record(entry("bf01", n));
        assert!(journal.flush().await);
    }
    let files = std::fs::read_dir(dir.path().join("cloud/journal")).unwrap().count();
    assert_eq!(files, 3 + 1, "three files and the state");
    let kept = lines(dir.path());
    assert!(kept.len() < 20 && kept.len() > 5, "{}", kept.len());
    assert_eq!(kept.last().unwrap()["stamp"], serde_json::json!([39, 1]));
    assert!(journal.close().await);
    drop(journal);
    let journal = open();
    assert_eq!(journal.last_stamps().get(&id("bfonce")), Some(&Stamp::device(77)));
    assert_eq!(journal.last_stamps().get(&id("bf01")), Some(&Stamp::device(39)));
}

/// A disk that takes so many bytes and then none until it is given room, tearing the line it is at.
#[derive(Clone)]
struct SmallDisk(Arc<Mutex<u64>>);

struct SmallFile(Box<dyn Out>, SmallDisk);

impl Disk for SmallDisk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn Out>> {
        Ok(Box::new(SmallFile(RealDisk.open(path)?, self.clone())))
    }
}

impl Out for SmallFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut room = self.1.0.lock().unwrap();
        let fits = usize::try_from(*room).unwrap().min(bytes.len());
        self.0.append(&bytes[..fits])?;
        *room -= fits as u64;
        if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
    fn sync(&mut self) -> io::Result<()> {
        self.0.sync()
    }
    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.0.cut(len)
    }
    fn is_gone(&self) -> bool {
        self.0.is_gone()
    }
}

#[tokio::test]
async fn a_full_disk_is_told_and_what_waited_is_written_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let disk = SmallDisk(Arc::new(Mutex::new(200)));
    let journal = Journal::open_with(dir.path(), Box::new(disk.clone()), NEVER, FILE_BYTES, FILES).unwrap();
    journal.record(entry("bf01", 1));
    assert!(journal.flush().await);
    for n in 2..=6 {
        journal.record(entry("bf01", n));
        // Each try tears a line and takes it back.
        assert!(!journal.flush().await || n == 2, "{n}");
    }
    let health = journal.health();
    assert!(health.failures >= 4, "{health:?}");
    assert!(health.failing.as_deref().is_some_and(|f| f.contains("00000001.jsonl: ")), "{health:?}");
    assert_eq!(health.dropped, 0);
    *disk.0.lock().unwrap() = 10_000;
    assert!(journal.flush().await);
    assert_eq!(journal.health().failing, None);
    let sequences: Vec<_> = lines(dir.path()).iter().map(|l| l["stamp"][0].as_u64().unwrap()).collect();
    assert_eq!(sequences, [1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn memory_is_bounded_while_the_disk_takes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let disk = SmallDisk(Arc::default());
    let journal = Journal::open_with(dir.path(), Box::new(disk.clone()), NEVER, FILE_BYTES, FILES).unwrap();
    let mut large = entry("bf01", 1);
    large.dps = Arc::new(serde_json::from_str(&format!(r#"{{"1":"{}"}}"#, "x".repeat(60_000))).unwrap());
    let fit = WAITING_BYTES / 60_000 + 1;
    for _ in 0..fit + 30 {
        journal.record(large.clone());
        journal.flush().await;
    }
    assert!(journal.health().dropped >= 29, "{:?}", journal.health());
    assert!(!journal.close().await);
    let journal = Journal::open(dir.path()).unwrap();
    assert_eq!(journal.last_end(), LastEnd::Killed, "not everything was kept");
    assert_eq!(journal.last_stamps().len(), 0, "nothing came to the disk");
}

#[tokio::test]
async fn a_burst_of_more_than_a_gulp_is_written_to_its_last_line() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    let mut large = entry("bf01", 1);
    large.dps = Arc::new(serde_json::from_str(&format!(r#"{{"1":"{}"}}"#, "x".repeat(30_000))).unwrap());
    for _ in 0..50 {
        journal.record(large.clone());
    }
    let written = tokio::time::timeout(Duration::from_secs(60), journal.written(50)).await;
    assert!(written.is_ok(), "{:?}", journal.health());
}

/// A disk that says when it is asked to keep something, and does so when it is let.
#[derive(Clone)]
struct SlowDisk {
    asked: std::sync::mpsc::Sender<()>,
    free: Arc<Mutex<()>>,
}

struct SlowFile(Box<dyn Out>, SlowDisk);

impl Disk for SlowDisk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn Out>> {
        Ok(Box::new(SlowFile(RealDisk.open(path)?, self.clone())))
    }
}

impl Out for SlowFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.append(bytes)
    }
    fn sync(&mut self) -> io::Result<()> {
        // The test may have seen enough.
        let _gone = self.1.asked.send(());
        let _free = self.1.free.lock().unwrap();
        self.0.sync()
    }
    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.0.cut(len)
    }
    fn is_gone(&self) -> bool {
        self.0.is_gone()
    }
}

#[test]
fn what_does_not_fit_while_the_disk_is_busy_is_counted_at_once_and_the_rest_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (asked, came) = std::sync::mpsc::channel();
    let disk = SlowDisk { asked, free: Arc::default() };
    let journal = Journal::open_with(dir.path(), Box::new(disk.clone()), NEVER, FILE_BYTES, FILES).unwrap();
    let busy = disk.free.lock().unwrap();
    journal.record(entry("bf01", 1));
    journal.inbox.ask(false).unwrap();
    came.recv_timeout(Duration::from_secs(60)).expect("the order did not wake the writer");
    let fit = u32::try_from(QUEUE).unwrap();
    for n in 0..fit + 5 {
        journal.record(entry("bf01", 2 + n));
    }
    assert_eq!((journal.health().dropped, journal.health().written), (5, 0));
    drop(busy);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert!(runtime.block_on(journal.close()));
    assert_eq!((journal.health().dropped, journal.health().written), (5, u64::from(fit) + 1));
    journal.record(entry("bf01", 1));
    assert_eq!(journal.health().dropped, 6, "nobody writes it any more");
    assert!(!runtime.block_on(journal.flush()));
}

#[tokio::test]
async fn a_file_that_somebody_removes_is_begun_anew() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    journal.record(entry("bf01", 1));
    assert!(journal.flush().await);
    std::fs::remove_file(dir.path().join("cloud/journal/00000001.jsonl")).unwrap();
    journal.record(entry("bf01", 2));
    assert!(journal.flush().await);
    assert_eq!(lines(dir.path())[0]["stamp"], serde_json::json!([2, 1]));
}

#[tokio::test]
async fn an_unwritable_place_names_itself() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = Journal::open(&file).unwrap_err().to_string();
    assert!(
        error.starts_with("can't make the directory ") && error.contains("file/cloud/journal"),
        "{error}"
    );
}

/// Names the directory to the process that is killed.
const CHILD: &str = "LANDFALL_JOURNAL_OF_CHILD";

/// The process that is killed: records what it is told, and says when it has.
fn be_killed(dir: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut answers = UnixStream::connect(dir.join("talk")).unwrap();
    let journal = Journal::open_with(dir, Box::new(RealDisk), NEVER, FILE_BYTES, FILES).unwrap();
    for line in BufReader::new(answers.try_clone().unwrap()).lines() {
        let line = line.unwrap();
        match line.parse::<u32>() {
            Ok(n) => journal.record(entry("bf01", n)),
            Err(_) => assert!(runtime.block_on(journal.flush())),
        }
        writeln!(answers, "done {line}").unwrap();
    }
}

/// Gives the child an order and waits until it is carried out.
fn tell(child: &mut BufReader<UnixStream>, order: &str) {
    writeln!(child.get_mut(), "{order}").unwrap();
    let mut answer = String::new();
    child.read_line(&mut answer).unwrap();
    assert_eq!(answer, format!("done {order}\n"));
}

#[test]
fn a_kill_loses_only_what_was_not_written_yet_and_the_loss_is_counted() {
    // The child is this test over again, which here learns that it is the child.
    if let Some(dir) = std::env::var_os(CHILD) {
        return be_killed(Path::new(&dir));
    }
    const ME: &str = "journal::tests::a_kill_loses_only_what_was_not_written_yet_and_the_loss_is_counted";
    let dir = tempfile::tempdir().unwrap();
    let door = UnixListener::bind(dir.path().join("talk")).unwrap();
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", ME, "--quiet"])
        .stdout(std::process::Stdio::null())
        .env(CHILD, dir.path())
        .spawn()
        .unwrap();
    let (send, came) = std::sync::mpsc::channel();
    std::thread::spawn(move || send.send(door.accept().unwrap().0));
    let child = came.recv_timeout(Duration::from_secs(60)).expect("the child did not come");
    child.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut child = BufReader::new(child);
    for n in 1..=20 {
        tell(&mut child, &n.to_string());
    }
    tell(&mut child, "flush");
    // Heard, acknowledged, and nowhere but in memory: its interval is an hour.
    for n in 21..=25 {
        tell(&mut child, &n.to_string());
    }
    assert!(matches!(Journal::open(dir.path()), Err(JournalError::InUse { .. })));
    process.kill().unwrap();
    process.wait().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    assert_eq!(journal.last_end(), LastEnd::Killed);
    let last = journal.last_stamps()[&id("bf01")];
    assert_eq!(last, Stamp::device(20));
    let verdict = Counting::new().judge(&mut Memory::since(Some(last)), Some(Stamp::device(26)), None, 0);
    assert_eq!(verdict, Verdict::New { missing: 5 });
    assert_eq!(lines(dir.path()).len(), 20);
}
