//! Writes `crates/proto/src/gen` from `proto/`, with a compiler written in Rust, so that nobody needs protoc; and the pages that
//! are made of data (`docs`).

use std::{error::Error, fs, path::Path};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Fail if a file would change, and write nothing
    #[arg(long)]
    pub(crate) check: bool,
}

const PROTOS: [&str; 4] = [
    "proto/keyway/snapshot/v1/snapshot.proto",
    "proto/keyway/fleet/v1/fleet.proto",
    "proto/keyway/fleet/v1/peer.proto",
    "proto/keyway/fleet/v1/enroll.proto",
];
const OUT: &str = "crates/proto/src/gen";
/// What the control plane says to etcd. Nobody else needs it, so it is not part of the contract between the planes.
const ETCD: &str = "proto/etcd/etcd.proto";
const ETCD_OUT: &str = "crates/controlplane/src/store/etcd/gen";

#[expect(clippy::print_stdout, reason = "says what it wrote")]
pub(crate) fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let fresh = Path::new("target/gen");
    fs::create_dir_all(fresh)?;
    let descriptors = protox::compile(PROTOS, ["proto"])?;
    tonic_prost_build::configure()
        .out_dir(fresh)
        .bytes(".keyway.snapshot.v1.Resource.body")
        // These hold secrets; crates/proto writes a Debug that shows none.
        .skip_debug([
            ".keyway.snapshot.v1.Credential",
            ".keyway.snapshot.v1.KeyPair",
            ".keyway.snapshot.v1.Resource",
            ".keyway.snapshot.v1.Settings",
            ".keyway.fleet.v1.Probe",
            ".keyway.fleet.v1.EnrollRequest",
            ".keyway.fleet.v1.JoinToken",
            ".keyway.fleet.v1.KeptIdentity",
        ])
        .client_mod_attribute(".", "#[cfg(feature = \"services\")]")
        .server_mod_attribute(".", "#[cfg(feature = \"services\")]")
        .compile_fds(descriptors)?;
    tonic_prost_build::configure()
        .build_server(false)
        .out_dir(fresh)
        .bytes(".etcdserverpb.KeyValue")
        .bytes(".etcdserverpb.PutRequest")
        // They hold a password, a token, and whatever is stored.
        .skip_debug([".etcdserverpb.AuthenticateRequest", ".etcdserverpb.AuthenticateResponse"])
        .compile_fds(protox::compile([ETCD], ["proto"])?)?;
    let mut files = vec![(Path::new(crate::docs::PAGE).to_owned(), crate::docs::dialects()?)];
    for file in ["keyway.snapshot.v1.rs", "keyway.fleet.v1.rs"] {
        files.push((Path::new(OUT).join(file), fs::read_to_string(fresh.join(file))?));
    }
    let etcd = "etcdserverpb.rs";
    files.push((Path::new(ETCD_OUT).join(etcd), fs::read_to_string(fresh.join(etcd))?));
    for (place, new) in files {
        let same = fs::read_to_string(&place).is_ok_and(|old| old == new);
        if same {
            continue;
        }
        if args.check {
            return Err(format!("{} is out of date: run `cargo xtask gen`", place.display()).into());
        }
        place.parent().map(fs::create_dir_all).transpose()?;
        fs::write(&place, new)?;
        println!("wrote {}", place.display());
    }
    Ok(())
}
