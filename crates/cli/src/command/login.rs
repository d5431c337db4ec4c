//! `keyway login`: keeps server and token, once the server has taken the token.

use clap::Args;
use reqwest::StatusCode;
use zeroize::Zeroizing;

use super::secret::From;
use crate::args::Global;
use crate::connection::{self, CONTEXT_FILE, Connection};
use crate::failure::Failure;
use crate::home::Home;
use crate::print;
use crate::server::Server;
use crate::trace::Trace;

/// The token comes from --token, --from-env, --from-file or stdin; the server is found as other verbs find it.
#[derive(Debug, Args)]
pub(crate) struct Login {
    #[command(flatten)]
    from: From,
}

pub(crate) async fn run(global: &Global, login: Login) -> Result<(), Failure> {
    let home = Home::new(global.home.clone())?;
    let server = connection::server_for_login(global, &home)?;
    let token = match &global.token {
        Some(token) if !login.from.is_named() => Zeroizing::new(token.trim().to_owned()),
        _ => login.from.read("admin token")?,
    };
    let connection = Connection { server: server.clone(), token: token.clone() };
    match Server::new(connection, Trace::new(global))?.get("/status").await {
        // The token is good, for other things than this.
        Ok(_) | Err(Failure::Answered { status: StatusCode::FORBIDDEN, .. }) => {}
        Err(failure) => return Err(failure),
    }
    home.make()?;
    let kept = connection::Login { server: server.clone(), token: token.to_string() };
    let text = serde_json::to_string(&kept).map(Zeroizing::new);
    let text = text.map_err(|_| Failure::Other("the token cannot be written as JSON".into()))?;
    let path = home.write(CONTEXT_FILE, &text)?;
    print::note(&format!("Logged in to {server}; kept in {} (only you can read it).", path.display()));
    Ok(())
}
