//! The program as a process: `keyway up`, and every verb against it.

#[cfg(test)]
mod keys;
#[cfg(test)]
mod looks;
#[cfg(test)]
mod misuse;
#[cfg(test)]
mod provider;
#[cfg(test)]
mod reports;
#[cfg(test)]
mod running;
#[cfg(test)]
mod up;
#[cfg(test)]
mod verbs;
