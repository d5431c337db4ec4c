//! Whose usage is asked for. Pure.

use keyway_proto::fleet::v1::Spender;

/// What a spender has to be; absent parts may be anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    /// Whatever else is asked for: the team that the caller is bound to.
    pub(crate) bound: Option<String>,
    pub(crate) client: Option<String>,
    pub(crate) team: Option<String>,
    pub(crate) provider: Option<String>,
    /// `provider/model`, or the model's name alone.
    pub(crate) model: Option<String>,
    /// `provider/key` or `provider/key/version`.
    pub(crate) key: Option<String>,
    pub(crate) alias: Option<String>,
    /// `k=v`, or a name alone; all of them.
    pub(crate) tags: Vec<String>,
}

// === impl Filter ===

impl Filter {
    /// Whether every spender fits.
    pub(crate) fn is_open(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn fits(&self, spender: &Spender) -> bool {
        let is = |wanted: &Option<String>, text: &str| wanted.as_ref().is_none_or(|wanted| wanted == text);
        is(&self.bound, &spender.team)
            && is(&self.client, &spender.client)
            && is(&self.team, &spender.team)
            && is(&self.provider, &spender.provider)
            && is(&self.alias, &spender.alias)
            && self.model.as_ref().is_none_or(|model| is_model(model, spender))
            && self.key.as_ref().is_none_or(|key| key == &spender.key || key == without_version(&spender.key))
            && self.tags.iter().all(|wanted| spender.tags.iter().any(|tag| is_tag(wanted, tag)))
    }
}

/// `provider/model`; empty where nothing went upstream.
pub(crate) fn model(spender: &Spender) -> String {
    match spender.provider.as_str() {
        "" => spender.model.clone(),
        provider => format!("{provider}/{}", spender.model),
    }
}

/// `provider/key` of `provider/key/version`.
pub(crate) fn without_version(key: &str) -> &str {
    key.rsplit_once('/').map_or(key, |(key, _)| key)
}

/// The value of that tag; `None` if the spender has none of that name.
pub(crate) fn tag<'s>(spender: &'s Spender, name: &str) -> Option<&'s str> {
    let parts = spender.tags.iter().map(|tag| split(tag));
    parts.into_iter().find(|(one, _)| *one == name).map(|(_, value)| value)
}

/// Name and value of a tag.
pub(crate) fn split(tag: &str) -> (&str, &str) {
    tag.split_once('=').unwrap_or((tag, ""))
}

fn is_model(wanted: &str, spender: &Spender) -> bool {
    let of_provider = wanted.strip_prefix(spender.provider.as_str()).and_then(|rest| rest.strip_prefix('/'));
    wanted == spender.model || !spender.provider.is_empty() && of_provider == Some(spender.model.as_str())
}

fn is_tag(wanted: &str, tag: &str) -> bool {
    wanted == tag || !wanted.contains('=') && split(tag).0 == wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_is_looked_at() {
        let spender = Spender {
            client: "c".to_owned(),
            team: "t".to_owned(),
            provider: "openrouter".to_owned(),
            model: "openai/gpt-4o".to_owned(),
            key: "openrouter/main/2".to_owned(),
            alias: "fast".to_owned(),
            tags: vec!["env=prod".to_owned(), "run=7".to_owned()],
        };
        let some = |text: &str| Some(text.to_owned());
        let none = Filter::default;
        let fit = [
            none(),
            Filter { bound: some("t"), client: some("c"), team: some("t"), ..none() },
            Filter { provider: some("openrouter"), alias: some("fast"), ..none() },
            Filter { model: some("openai/gpt-4o"), ..none() },
            Filter { model: some("openrouter/openai/gpt-4o"), ..none() },
            Filter { key: some("openrouter/main"), ..none() },
            Filter { key: some("openrouter/main/2"), ..none() },
            Filter { tags: vec!["env".to_owned(), "run=7".to_owned()], ..none() },
        ];
        fit.iter().for_each(|filter| assert!(filter.fits(&spender), "{filter:?}"));
        let other = [
            Filter { bound: some("u"), ..none() },
            Filter { bound: some("u"), team: some("t"), ..none() },
            Filter { bound: some(""), ..none() },
            Filter { client: some("d"), ..none() },
            Filter { model: some("gpt-4o"), ..none() },
            Filter { model: some("openrouter"), ..none() },
            Filter { key: some("openrouter/main/1"), ..none() },
            Filter { key: some("openrouter"), ..none() },
            Filter { alias: some(""), ..none() },
            Filter { tags: vec!["env=test".to_owned()], ..none() },
            Filter { tags: vec!["env=prod".to_owned(), "user".to_owned()], ..none() },
        ];
        other.iter().for_each(|filter| assert!(!filter.fits(&spender), "{filter:?}"));
        assert_eq!((tag(&spender, "run"), tag(&spender, "user")), (Some("7"), None));
        assert_eq!(
            (model(&spender).as_str(), model(&Spender::default()).as_str()),
            ("openrouter/openai/gpt-4o", "")
        );
    }
}
