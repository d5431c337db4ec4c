//! The documents and what may be done to them. Pure: a change is proposed against a state, checked, and either
//! becomes writes or a refusal; nothing here commits.

mod answer;
mod apply;
mod author;
mod document;
mod handover;
mod kek;
mod key;
mod node;
mod operator;
mod pair;
mod proposal;
mod refusal;
mod scope;
mod state;
mod tokens;
mod uses;

pub use answer::{ANSWER_BYTES, ANSWER_KEPT_MS, ANSWERS, AnswerDocument, Asked, Kept};
pub(crate) use answer::{Made as MadeBefore, remembered};
pub use apply::{Apply, file_proposal};
pub use author::Author;
pub use document::{Body, Document, HostDocument, Kind, Made, ReplicaDocument, Way};
pub use handover::{Handover, HandoverEnd};
pub(crate) use kek::WRAPPING;
pub use kek::{KekDocument, KekStep};
pub use key::{
    Barred, Begin, Closed, Figures, KeyDocument, KeyState, KeyVersion, Leaving, Minting, NextStage, Probing,
    Proof, Rollout, Stage, StageEnd, Step, Supplied, Supply, SupplyOutcome, Trial, Trials, Verb, Verdict,
};
pub use node::{AUTHORITY, AuthorityDocument, JoinDocument, NodeDocument, RootDocument};
pub use operator::{Operator, Rights};
pub use pair::PairDocument;
pub use proposal::{Change, How, Means, Op, Proposal, Sealing, Shown, Touch};
pub use refusal::Refusal;
pub use scope::{Scope, Scopes};
pub use state::{Held, State};
pub use tokens::{MadePair, TokenText};

pub(crate) use node::secret_id as root_secret;
pub(crate) use proposal::not_found;
pub(crate) use state::add as add_to_file;
pub(crate) use tokens::digest;
pub(crate) use uses::unused;
