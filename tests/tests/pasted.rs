//! What `keyway up` prints works as pasted into a shell: curl, the OpenAI SDK, OpenClaw; and what README.md and docs/callers.md
//! have for the SDKs, with one's own address and token. With no provider's key, so the built-in sandbox answers.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use keyway_e2e::gateway::Outcome;
use keyway_testkit::process::{Keyway, Process, root};
use keyway_testkit::sdk;
use serde_json::Value;

/// How long one snippet may take, on a machine that may be busy.
const LIMIT: Duration = Duration::from_secs(180);

/// All that it prints at its start; the last snippet ends it.
fn printed(keyway: &mut Keyway) -> Outcome<String> {
    let whole = |process: &Process| Some(process.stdout()).filter(|text| text.trim_end().ends_with("\nEOF"));
    Ok(keyway.process().until(LIMIT, "printed its snippets", whole)?)
}

/// What stands under a heading, up to the next heading or the end.
fn snippet<'a>(printed: &'a str, heading: &str, next: Option<&str>) -> Option<&'a str> {
    let (_, rest) = printed.split_once(&format!("\n{heading}:\n"))?;
    match next {
        Some(next) => rest.split_once(&format!("\n{next}:\n")).map(|(snippet, _)| snippet),
        None => Some(rest),
    }
}

/// Runs a snippet in a shell that finds the SDKs' Python and an `openclaw` in `folder/bin`. Returns what it printed.
fn pasted(folder: &Path, snippet: &str) -> Outcome<String> {
    let python = sdk::folder().join("python/bin");
    let path = format!("{}:{}:/usr/local/bin:/usr/bin:/bin", folder.join("bin").display(), python.display());
    let mut command = Command::new("sh");
    command.args(["-c", snippet]).current_dir(folder).env_clear().env("PATH", path).env("HOME", folder);
    command.envs([("OPENCLAW_NO_AUTO_UPDATE", "1"), ("DO_NOT_TRACK", "1")]);
    let mut process = Process::start("sh", &mut command)?;
    let status = process.wait(LIMIT)?;
    let (stdout, stderr) = (process.stdout(), process.stderr());
    assert!(status.is_some_and(|status| status.success()), "{snippet}\n{status:?}\n{stdout}\n{stderr}");
    Ok(stdout)
}

/// A program `openclaw`, as an installed npm package would bring it.
fn install_openclaw(folder: &Path) -> Outcome {
    let openclaw = sdk::openclaw_folder().join("node_modules/openclaw/openclaw.mjs");
    let program = format!("#!/bin/sh\nexec '{}' '{}' \"$@\"\n", sdk::node().display(), openclaw.display());
    let bin = folder.join("bin");
    std::fs::create_dir(&bin)?;
    std::fs::write(bin.join("openclaw"), program)?;
    std::fs::set_permissions(bin.join("openclaw"), std::fs::Permissions::from_mode(0o755))?;
    Ok(())
}

#[test]
fn curl() -> Outcome {
    let mut keyway = Keyway::up().start()?;
    let printed = printed(&mut keyway)?;
    let curl = snippet(&printed, "curl", Some("OpenAI SDK (Python)")).ok_or(printed.clone())?;
    let reply: Value = serde_json::from_str(&pasted(keyway.folder(), curl)?)?;
    let said = reply.pointer("/choices/0/message/content").and_then(Value::as_str);
    assert!(said.is_some_and(|said| said.contains("Hello")), "{reply}");
    Ok(())
}

#[test]
fn openai_sdk() -> Outcome {
    let mut keyway = Keyway::up().start()?;
    let printed = printed(&mut keyway)?;
    let python = snippet(&printed, "OpenAI SDK (Python)", Some("OpenClaw")).ok_or(printed.clone())?;
    let said = pasted(keyway.folder(), python)?;
    assert!(said.contains("Hello"), "{said}");
    Ok(())
}

/// A client of the test's, with a key pair.
const TOKEN: &str = "kw-pasted-0123456789abcdefghijkl";
const ACCESS_KEY_ID: &str = "KWPASTED0123456789AB";
const SECRET_ACCESS_KEY: &str = "kw-pasted-secret-access-key-0123456789";

/// Blocks of Python of a page.
fn blocks(page: &str) -> Outcome<Vec<String>> {
    let text = std::fs::read_to_string(root().join(page))?;
    let blocks = text.split("```python\n").skip(1).filter_map(|rest| rest.split_once("```"));
    Ok(blocks.map(|(block, _)| block.to_owned()).collect())
}

#[test]
fn each_sdk_as_the_pages_have_it() -> Outcome {
    let pair = format!("{{ access_key_id: {ACCESS_KEY_ID}, secret_access_key: {SECRET_ACCESS_KEY} }}");
    let keyway =
        Keyway::up().config(format!("clients:\n  one: {{ token: {TOKEN}, sigv4: {pair} }}\n")).start()?;
    let (mut answers, mut asked) = (0, 0);
    for page in ["README.md", "docs/callers.md"] {
        for block in blocks(page)? {
            let python = block
                .replace("http://127.0.0.1:8585", keyway.base_url())
                .replace("\"kw_…\"", &format!("\"{TOKEN}\""))
                .replace("\"KW…\"", &format!("\"{ACCESS_KEY_ID}\""))
                .replace("\"…\"", &format!("\"{SECRET_ACCESS_KEY}\""));
            let said = pasted(keyway.folder(), &format!("python3 - <<'EOF'\n{python}EOF\n"))?;
            asked += block.matches("print(").count();
            answers += said.lines().filter(|line| line.contains("Hello")).count();
        }
    }
    assert_eq!((answers, asked), (8, 8));
    Ok(())
}

#[test]
fn openclaw() -> Outcome {
    let mut keyway = Keyway::up().start()?;
    let printed = printed(&mut keyway)?;
    let patch = snippet(&printed, "OpenClaw", None).ok_or(printed.clone())?;
    let folder = tempfile::tempdir()?;
    install_openclaw(folder.path())?;
    pasted(folder.path(), patch)?;
    let exec = "openclaw agent exec --no-auth-env-only --json 'say hi'";
    let said: Value = serde_json::from_str(&pasted(folder.path(), exec)?)?;
    assert_eq!(said.get("ok"), Some(&Value::Bool(true)), "{said}\n{}", keyway.log());
    Ok(())
}
