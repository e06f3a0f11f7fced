//! `landfall doctor`

use serde_json::{Value, json};

use crate::harness::Simulated;

const HOME: &str = r#"
[[device]]
name = "Kettle"
kind = "plug"
version = "3.3"
address = "127.0.0.1:0"
"#;

fn examined(s: &Simulated) -> (i32, Value) {
    let run = s.run_with_file(&["doctor", "Kettle", "--no-listen", "--json"]);
    (run.code, run.json())
}

#[test]
fn healthy_is_exit_code_0() {
    let s = Simulated::start(HOME);
    let run = s.run_with_file(&["doctor", "kettle", "--no-listen"]).ok();
    assert!(run.stdout.starts_with("Kettle: healthy\n"), "{run:#?}");
    assert!(run.stdout.contains("\nevidence\n  - "), "{run:#?}");
    let (code, told) = examined(&s);
    assert_eq!((code, &told["verdict"]), (0, &json!("healthy")));
    assert!(!told["evidence"].as_array().unwrap().is_empty());
}

#[test]
fn verdicts_come_with_evidence_and_a_next_step() {
    let mut s = Simulated::start(HOME);
    let told = |s: &Simulated, verdict: &str| {
        let (code, told) = examined(s);
        assert_eq!((code, &told["verdict"]), (1, &json!(verdict)), "{told:#}");
        for field in ["sentence", "next_step"] {
            assert_ne!(told[field], json!(""), "{told:#}");
        }
        assert!(!told["evidence"].as_array().unwrap().is_empty(), "{told:#}");
    };
    s.edit("Kettle", |e| e["version"] = json!("3.4"));
    told(&s, "wrong_version");
    s.edit("Kettle", |e| {
        e["version"] = json!("3.3");
        e["key"] = json!("WRONGKEYWRONGKEY");
    });
    s.home.guard("WRONGKEYWRONGKEY");
    told(&s, "wrong_key");
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    s.edit("Kettle", |e| e["port"] = json!(gone));
    told(&s, "port_closed");
    s.run_with_file(&["doctor", "Ketle"]).failed(
        1,
        "no device is called \"Ketle\"",
        "did you mean \"Kettle\"?",
    );
}
