//! To be written.

#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args) -> Result<(), Box<dyn std::error::Error>> {
    Err("not written yet".into())
}
