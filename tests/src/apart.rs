//! A network namespace of its own for replicas, with two links to everybody else: one for callers, and one for the fleet stream,
//! which can be cut.

use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;

use keyway_testkit::process::Elsewhere;
use rustix::process::{geteuid, getpid};

use crate::gateway::Outcome;

/// One namespace. Dropped, it goes with its links.
#[derive(Debug)]
pub struct Apart {
    name: String,
    number: u8,
}

// === impl Apart ===

impl Apart {
    /// `None` where this process may not make one: it is not root, or there is no `ip`.
    pub fn make() -> Outcome<Option<Self>> {
        let name = format!("kw{}", getpid().as_raw_nonzero());
        // Several tests at once have several networks.
        let number = u8::try_from(getpid().as_raw_nonzero().get().rem_euclid(250))?;
        if !geteuid().is_root() || ip(&["netns", "add", &name]).is_err() {
            return Ok(None);
        }
        let apart = Self { name, number };
        for (link, network) in [("c", 0), ("f", 4)] {
            let (here, there) = (apart.link(link), format!("{link}0"));
            if ip(&["link", "add", &here, "type", "veth", "peer", "name", &there, "netns", &apart.name])
                .is_err()
            {
                return Ok(None);
            }
            ip(&["addr", "add", &format!("{}/30", apart.address(network + 1)), "dev", &here])?;
            ip(&["link", "set", &here, "up"])?;
            ip(&[
                "-n",
                &apart.name,
                "addr",
                "add",
                &format!("{}/30", apart.address(network + 2)),
                "dev",
                &there,
            ])?;
            ip(&["-n", &apart.name, "link", "set", &there, "up"])?;
        }
        ip(&["-n", &apart.name, "link", "set", "lo", "up"])?;
        Ok(Some(apart))
    }

    /// Where replicas run, and how they reach the control plane.
    #[must_use]
    pub fn elsewhere(&self) -> Elsewhere {
        Elsewhere {
            under: ["ip", "netns", "exec", &self.name].map(str::to_owned).to_vec(),
            replicas_at: self.address(2),
            fleet_at: self.address(5),
        }
    }

    /// Nothing goes over the fleet's link any more, and nobody is told.
    pub fn cut(&self) -> Outcome {
        ip(&["-n", &self.name, "link", "set", "f0", "down"])
    }

    /// Everything does again.
    pub fn mend(&self) -> Outcome {
        ip(&["-n", &self.name, "link", "set", "f0", "up"])
    }

    fn link(&self, kind: &str) -> String {
        format!("{}{kind}", self.name)
    }

    fn address(&self, host: u8) -> IpAddr {
        Ipv4Addr::new(10, 231, self.number, host).into()
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        // Its links go with it, here too.
        let _gone = ip(&["netns", "del", &self.name]);
    }
}

fn ip(args: &[&str]) -> Outcome {
    let ran = Command::new("ip").args(args).output()?;
    if ran.status.success() {
        Ok(())
    } else {
        Err(format!("ip {args:?}: {}", ran.stderr.escape_ascii()).into())
    }
}
