//! A new access key at AWS, made so that a crash at any moment leaves none behind: what was there is written down before
//! one is made, and itself before it is used; one that was made and not taken in is found by that and deleted.

use super::supply::{Asked, Fault, write_down};
use crate::{
    plane::unix_millis,
    resource::{KeyState, Minting, Refusal, Supply},
    source::{Iam, Listed, Pair, SourceError},
};
use keyway_config::{AwsIam, Secret};
use keyway_snapshot::Secret as Sealed;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// AWS lets a user have so many access keys.
const KEYS_PER_USER: usize = 2;
/// AWS's clock and this one may be so far apart, seconds.
const SKEW: u64 = 300;
/// A new access key is known everywhere at AWS after some seconds; by then at the latest.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks whether it is.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// How sure it is that an access key was left by a try before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// It is written down as made.
    Made,
    /// It came since a try began.
    Perhaps,
}

/// A new access key, once AWS takes it.
pub(super) async fn mint(asked: &Asked, at: &AwsIam) -> Result<Secret, Fault> {
    let iam = Iam::new(at, signs(asked, at)?)?;
    let mut there = iam.list(seconds()).await?;
    clean_up(asked, &iam, &mut there).await?;
    if there.len() >= KEYS_PER_USER {
        let spent = spent(asked, &there)?.ok_or_else(|| SourceError::AwsFull { user: at.user.clone() })?;
        iam.delete(&spent, seconds()).await?;
    }
    let known = there.iter().map(|one| fingerprint(asked, &one.id)).collect();
    let minting = Minting { at: unix_millis(), known };
    write_down(&asked.plane, &asked.name, "key.source.mint", |doc, _| {
        (doc.supply.minting, doc.supply.made) = (Some(minting), None);
    })
    .await?;
    let made = iam.create(seconds()).await?;
    if let Err(fault) = tried(asked, at, &made).await {
        // Should this fail too, the next try finds it.
        let _ = iam.delete(&made.id, seconds()).await;
        return Err(fault);
    }
    Ok(Secret::new(made.text()))
}

/// Deletes what tries before have left.
async fn clean_up(asked: &Asked, iam: &Iam<'_>, there: &mut Vec<Listed>) -> Result<(), Fault> {
    for (id, left) in lost(asked, there)? {
        // Somebody else may have made it at the same time; of its own it knows, whose trial counted as use.
        if left == Left::Perhaps && iam.was_used(&id, seconds()).await? {
            continue;
        }
        iam.delete(&id, seconds()).await?;
        tracing::warn!(key = asked.full(), "an access key that was made and not taken in is deleted");
        there.retain(|one| one.id != id);
    }
    Ok(())
}

/// Written down as made before it is used for the first time, and tried until AWS takes it.
async fn tried(asked: &Asked, at: &AwsIam, made: &Pair) -> Result<(), Fault> {
    let print = fingerprint(asked, &made.id);
    write_down(&asked.plane, &asked.name, "key.source.mint", |doc, _| doc.supply.made = Some(print)).await?;
    Ok(known_at_aws(at, made).await?)
}

/// Takes a version's access key away at AWS, and erases its secret.
pub(super) async fn remove(asked: &Asked, at: &AwsIam, version: u32) -> Result<(), Fault> {
    if let Some(pair) = pair_of(asked, version)? {
        let signs = signs(asked, at)?;
        if pair.id != signs.id {
            Iam::new(at, signs)?.delete(&pair.id, seconds()).await?;
        }
    }
    let (provider, key) = (asked.name.0.as_str(), asked.name.1.as_str());
    let author = crate::resource::Author::system("key.source.remove", &format!("key/{provider}/{key}"));
    let change = asked.plane.change(&author, |proposal| proposal.destroy_key(provider, key, version));
    Ok(change.await.map(drop)?)
}

async fn known_at_aws(at: &AwsIam, made: &Pair) -> Result<(), SourceError> {
    let (iam, end) = (Iam::new(at, made.clone())?, Instant::now() + PATIENCE);
    while !iam.is_known(seconds()).await? {
        if Instant::now() >= end {
            return Err(SourceError::AwsUnknown);
        }
        sleep(LOOK_AGAIN).await;
    }
    Ok(())
}

/// The access key that the calls are signed with.
fn signs(asked: &Asked, at: &AwsIam) -> Result<Pair, SourceError> {
    let (provider, key) = match at.with.as_deref().and_then(|with| with.split_once('/')) {
        Some((provider, key)) => (provider.to_owned(), key.to_owned()),
        None => asked.name.clone(),
    };
    let state = asked.plane.state();
    let keys = state.provider(&provider).map(|(_, keys)| keys).unwrap_or_default();
    let active = keys.iter().find(|one| one.name == key).and_then(|key| key.active());
    let name = (provider, key);
    let secret = active.and_then(|active| asked.plane.secret_of(&name, active.version).ok());
    secret.as_ref().and_then(parsed).ok_or_else(|| SourceError::AwsNoPair(format!("{}/{}", name.0, name.1)))
}

/// `None` = its secret is no access key. One that cannot be read may be one.
fn pair_of(asked: &Asked, version: u32) -> Result<Option<Pair>, SourceError> {
    let unread = |why: Refusal| SourceError::AwsUnread { version, why: why.to_string() };
    Ok(parsed(&asked.plane.secret_of(&asked.name, version).map_err(unread)?))
}

fn parsed(secret: &Sealed) -> Option<Pair> {
    Pair::parse(std::str::from_utf8(secret.expose()).ok()?)
}

/// The state of the version that has this access key.
fn owns(asked: &Asked, listed: &Listed) -> Result<Option<KeyState>, SourceError> {
    for version in asked.key.versions.iter().filter(|version| version.state.has_secret()) {
        if pair_of(asked, version.version)?.is_some_and(|pair| pair.id == listed.id) {
            return Ok(Some(version.state));
        }
    }
    Ok(None)
}

/// One that only a spent version has.
fn spent(asked: &Asked, there: &[Listed]) -> Result<Option<String>, SourceError> {
    for one in there {
        if owns(asked, one)?.is_some_and(is_spent) {
            return Ok(Some(one.id.clone()));
        }
    }
    Ok(None)
}

fn is_spent(state: KeyState) -> bool {
    matches!(state, KeyState::Retired | KeyState::RolledBack | KeyState::Rejected)
}

/// Those that tries before may have left: no version has them.
fn lost(asked: &Asked, there: &[Listed]) -> Result<Vec<(String, Left)>, SourceError> {
    let mut lost = Vec::new();
    for one in there {
        let Some(left) = left(&asked.key.supply, one, &fingerprint(asked, &one.id)) else { continue };
        if owns(asked, one)?.is_none() {
            lost.push((one.id.clone(), left));
        }
    }
    Ok(lost)
}

/// What the access key with this fingerprint is, by what is written down.
fn left(supply: &Supply, listed: &Listed, print: &str) -> Option<Left> {
    if supply.made.as_deref() == Some(print) {
        return Some(Left::Made);
    }
    let minting = supply.minting.as_ref()?;
    let since = (minting.at / 1000).saturating_sub(SKEW);
    let came = listed.created >= since && !minting.known.iter().any(|known| known == print);
    came.then_some(Left::Perhaps)
}

fn fingerprint(asked: &Asked, id: &str) -> String {
    asked.plane.vault().fingerprint(id.as_bytes())
}

fn seconds() -> u64 {
    unix_millis() / 1000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Plane,
        resource::{Author, How, KeyDocument, Step, SupplyOutcome},
        rotation::supply,
        store::Memory,
        vault::Vault,
    };
    use axum::{Router, extract::State, http::StatusCode, routing::any};
    use parking_lot::Mutex;
    use std::sync::Arc;
    use tokio::{net::TcpListener, sync::watch, task::JoinHandle, time::timeout};

    const NAME: (&str, &str) = ("openai", "main");
    const FIRST: &str = "AKIAFIRST0000000";
    const SECOND: &str = "AKIASECOND000000";
    /// On a machine that may be busy.
    const SOON: Duration = Duration::from_secs(30);

    /// IAM and STS, for one user.
    #[derive(Default)]
    struct Fake {
        there: Vec<String>,
        deleted: Vec<String>,
        made: u32,
        /// What is tried is refused, and nothing is deleted.
        fails: bool,
    }

    impl Fake {
        /// All that is there counts as used.
        fn answer(&mut self, form: &str) -> Result<String, StatusCode> {
            let of =
                |name: &str| form.split('&').find_map(|pair| pair.strip_prefix(name)).unwrap_or_default();
            let created = "<CreateDate>2099-01-01T00:00:00Z</CreateDate>";
            match of("Action=") {
                "DeleteAccessKey" | "GetCallerIdentity" if self.fails => return Err(StatusCode::FORBIDDEN),
                "ListAccessKeys" => {
                    let member = |id| format!("<member><AccessKeyId>{id}</AccessKeyId>{created}</member>");
                    return Ok(self.there.iter().map(member).collect());
                }
                "CreateAccessKey" => {
                    self.made += 1;
                    let id = format!("AKIAMADE0000000{}", self.made);
                    self.there.push(id.clone());
                    return Ok(format!(
                        "<AccessKeyId>{id}</AccessKeyId><SecretAccessKey>s</SecretAccessKey>"
                    ));
                }
                "DeleteAccessKey" => {
                    let id = of("AccessKeyId=").to_owned();
                    self.there.retain(|one| *one != id);
                    self.deleted.push(id);
                }
                _ => {}
            }
            Ok("<LastUsedDate>2099-01-01T00:00:00Z</LastUsedDate>".to_owned())
        }
    }

    /// A plane with one key, whose versions have these access keys, and whose source is a fake of AWS.
    struct Minted {
        plane: Arc<Plane>,
        aws: Arc<Mutex<Fake>>,
        server: JoinHandle<std::io::Result<()>>,
    }

    impl Drop for Minted {
        fn drop(&mut self) {
            self.server.abort();
        }
    }

    impl Minted {
        async fn new(ids: &[&str]) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let endpoint = format!("http://{}", listener.local_addr().unwrap());
            let there = ids.iter().map(|id| (*id).to_owned()).collect();
            let aws = Arc::new(Mutex::new(Fake { there, ..Fake::default() }));
            let answers = any(|State(aws): State<Arc<Mutex<Fake>>>, form: String| async move {
                aws.lock().answer(&form)
            });
            let router = Router::new().fallback(answers).with_state(Arc::clone(&aws));
            let server = tokio::spawn(async move { axum::serve(listener, router).await });
            let plane = Plane::open(Arc::new(Memory::default()), Vault::ephemeral().unwrap()).await.unwrap();
            let minted = Self { plane: Arc::new(plane), aws, server };
            for id in ids {
                minted.takes(id).await;
            }
            let source =
                serde_json::json!({ "source": { "aws_iam": { "user": "u", "endpoint": endpoint } } });
            let rotation = serde_json::from_value(source).unwrap();
            minted.step(|doc| doc.rotation = Some(rotation)).await;
            minted
        }

        /// Brings this access key into use, as an operator does who enters it.
        async fn takes(&self, id: &str) {
            let how = How { unverified: true, overlap_ms: Some(0), ..How::default() };
            let (author, secret) = (Author::system("test", ""), format!("{id}:0123456789"));
            let change = self.plane.change(&author, |proposal| match id {
                FIRST => proposal.add_key(NAME.0, NAME.1, &secret, &how),
                _ => proposal.rotate_key(NAME.0, NAME.1, &secret, &how),
            });
            change.await.unwrap();
            let change = self.plane.change(&author, |proposal| {
                proposal.step_key(NAME, |doc, next, now| {
                    doc.activate(next, now);
                    doc.end(Step::Done, None);
                })
            });
            change.await.unwrap();
        }

        async fn step(&self, step: impl FnOnce(&mut KeyDocument)) {
            let name = (NAME.0.to_owned(), NAME.1.to_owned());
            write_down(&self.plane, &name, "test", |doc, _| step(doc)).await.unwrap();
        }

        fn key(&self) -> KeyDocument {
            self.plane.state().provider(NAME.0).unwrap().1[0].clone()
        }

        /// Lets the loop run until that is so of the key.
        async fn until(&self, is_so: impl Fn(&KeyDocument) -> bool) -> KeyDocument {
            let mut changes = self.plane.key_changes();
            let (stop, stopped) = watch::channel(false);
            let running = tokio::spawn(supply::run(Arc::clone(&self.plane), stopped));
            let so = async {
                while !is_so(&self.key()) {
                    changes.changed().await.unwrap();
                }
            };
            timeout(SOON, so).await.unwrap_or_else(|_| panic!("{:?}", self.key().supply));
            stop.send(true).unwrap();
            running.await.unwrap();
            self.key()
        }
    }

    fn has_failed(key: &KeyDocument) -> bool {
        key.supply.last.as_ref().is_some_and(|last| last.outcome == SupplyOutcome::Failed)
    }

    #[tokio::test]
    async fn what_was_made_tried_and_not_taken_in_is_deleted_though_it_was_used() {
        let minted = Minted::new(&[FIRST]).await;
        minted.aws.lock().fails = true;
        minted.step(|doc| doc.supply.asked = 1).await;
        let key = minted.until(has_failed).await;
        assert!(key.supply.made.is_some() && minted.aws.lock().there.len() == 2);
        minted.aws.lock().fails = false;
        minted.step(|doc| doc.supply.asked = 1).await;
        let key = minted.until(|key| key.versions.len() == 2).await;
        assert_eq!((key.supply.minting, key.supply.made), (None, None));
        let aws = minted.aws.lock();
        assert_eq!((aws.deleted.join(" "), aws.there.join(" ")), {
            ("AKIAMADE00000001".to_owned(), format!("{FIRST} AKIAMADE00000002"))
        });
    }

    #[tokio::test]
    async fn a_spent_secret_that_cannot_be_read_is_kept_with_its_access_key() {
        let minted = Minted::new(&[FIRST, SECOND]).await;
        let retire = |doc: &mut KeyDocument| {
            doc.versions
                .iter_mut()
                .filter(|one| one.version == 1)
                .for_each(|one| one.state = KeyState::Retired);
        };
        let spent = minted.key().version(1).unwrap().secret_id(NAME.0, NAME.1);
        minted.plane.vault().erase(&spent).unwrap();
        minted.step(retire).await;
        let key = minted.until(|key| !key.versions[0].state.has_secret() || has_failed(key)).await;
        assert_eq!(key.versions[0].state, KeyState::Retired);
        assert!(key.supply.last.unwrap().words.contains("version 1 cannot be read"));
        assert_eq!(minted.aws.lock().deleted, Vec::<String>::new());
    }
}
