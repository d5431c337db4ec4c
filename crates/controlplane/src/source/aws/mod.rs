//! Access keys of an IAM user, by the query API of IAM and STS: listed, made, deleted, tried. Each call is one, with one
//! answer; what to do about several is decided by who calls.

mod reply;
mod sign;

use super::{SourceError, http};
use keyway_config::AwsIam;
use reply::{failure, member_blocks, value};
use reqwest::Client;
use sign::form;
use zeroize::Zeroizing;

const IAM: (&str, &str) = ("iam", "2010-05-08");
const STS: (&str, &str) = ("sts", "2011-06-15");
/// Where IAM is, of each partition.
const REGION: &str = "us-east-1";
const REGION_CN: &str = "cn-north-1";
const REGION_GOV: &str = "us-gov-west-1";

/// An access key as it is used: id and secret.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) id: String,
    pub(crate) secret: Zeroizing<String>,
}

/// An access key as IAM lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) id: String,
    /// Seconds since 1970; 0 = IAM did not say.
    pub(crate) created: u64,
}

/// One user's access keys, managed with one access key.
pub(crate) struct Iam<'a> {
    client: Client,
    at: &'a AwsIam,
    with: Pair,
}

/// Seconds since 1970, fractions left out; 0 for what is no moment.
fn moment(text: &str) -> u64 {
    let whole = text.split('.').next().unwrap_or_default().trim_end_matches('Z');
    keyway_config::Expiry::parse(&format!("{whole}Z")).map_or(0, keyway_config::Expiry::unix)
}

// === impl Pair ===

impl Pair {
    /// `ID:SECRET`, as Keyway keeps them; `None` for anything else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.split_once(':')?;
        let fits = id.len() >= 16 && id.bytes().all(|b| b.is_ascii_alphanumeric()) && !secret.contains(':');
        fits.then(|| Self { id: id.to_owned(), secret: Zeroizing::new(secret.to_owned()) })
    }

    pub(crate) fn text(&self) -> String {
        format!("{}:{}", self.id, self.secret.as_str())
    }
}

// === impl Iam ===

impl<'a> Iam<'a> {
    pub(crate) fn new(at: &'a AwsIam, with: Pair) -> Result<Self, SourceError> {
        Ok(Self { client: http::client(None)?, at, with })
    }

    /// The user's access keys.
    pub(crate) async fn list(&self, now: u64) -> Result<Vec<Listed>, SourceError> {
        let xml = self.call(IAM, "ListAccessKeys", &[("UserName", &self.at.user)], now).await?;
        let listed = member_blocks(&xml).filter_map(|block| {
            let created = value(block, "CreateDate").map_or(0, moment);
            Some(Listed { id: value(block, "AccessKeyId")?.to_owned(), created })
        });
        Ok(listed.collect())
    }

    /// Makes one more.
    pub(crate) async fn create(&self, now: u64) -> Result<Pair, SourceError> {
        let xml = self.call(IAM, "CreateAccessKey", &[("UserName", &self.at.user)], now).await?;
        let pair = value(&xml, "AccessKeyId").zip(value(&xml, "SecretAccessKey"));
        let (id, secret) = pair.ok_or_else(|| SourceError::Unsound("is no answer of IAM's".to_owned()))?;
        Ok(Pair { id: id.to_owned(), secret: Zeroizing::new(secret.to_owned()) })
    }

    /// Deletes one; one that is not there is deleted already.
    pub(crate) async fn delete(&self, id: &str, now: u64) -> Result<(), SourceError> {
        let parameters = [("AccessKeyId", id), ("UserName", self.at.user.as_str())];
        match self.call(IAM, "DeleteAccessKey", &parameters, now).await {
            Err(SourceError::Aws { code, .. }) if code == "NoSuchEntity" => Ok(()),
            other => other.map(drop),
        }
    }

    /// Whether anybody ever used it.
    pub(crate) async fn was_used(&self, id: &str, now: u64) -> Result<bool, SourceError> {
        let xml = self.call(IAM, "GetAccessKeyLastUsed", &[("AccessKeyId", id)], now).await?;
        Ok(value(&xml, "LastUsedDate").is_some_and(|at| at.starts_with(|c: char| c.is_ascii_digit())))
    }

    /// Whether AWS knows the access key that this was made with: a new one takes some seconds.
    pub(crate) async fn is_known(&self, now: u64) -> Result<bool, SourceError> {
        match self.call(STS, "GetCallerIdentity", &[], now).await {
            Ok(_) => Ok(true),
            Err(SourceError::Aws { code, .. }) if code == "InvalidClientTokenId" => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// `now`: seconds since 1970.
    async fn call(
        &self,
        (service, version): (&str, &str),
        action: &str,
        parameters: &[(&str, &str)],
        now: u64,
    ) -> Result<Zeroizing<String>, SourceError> {
        let body = form(&[&[("Action", action), ("Version", version)], parameters].concat());
        let (url, region) = place(self.at, service);
        let host = url.split_once("://").map_or("", |(_, host)| host);
        let headers = sign::headers(&self.with, (service, region), (host, &body), now);
        let headers =
            headers.ok_or_else(|| SourceError::Unsound("holds no access key that can sign".to_owned()))?;
        let answer = self
            .client
            .post(format!("{url}/"))
            .headers(headers)
            .body(body)
            .send()
            .await
            .map_err(http::lost)?;
        let status = answer.status();
        let bytes = http::body(answer).await?;
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| SourceError::Unsound("is no text in UTF-8".to_owned()))?;
        if status.is_success() {
            return Ok(Zeroizing::new(text.to_owned()));
        }
        Err(SourceError::Aws { action: action.to_owned(), status: status.as_u16(), code: failure(text) })
    }
}

/// A service's address, and the region that its calls are signed for.
fn place<'a>(at: &'a AwsIam, service: &str) -> (String, &'a str) {
    let region = at.region.as_deref().unwrap_or(REGION);
    if let Some(endpoint) = &at.endpoint {
        return (endpoint.trim_end_matches('/').to_owned(), region);
    }
    // IAM is one for all regions of a partition, and takes what is signed for its own region alone.
    let iam = service == IAM.0;
    if region.starts_with("cn-") {
        let region = if iam { REGION_CN } else { region };
        return (format!("https://{service}.{region}.amazonaws.com.cn"), region);
    }
    match (iam, region.starts_with("us-gov-")) {
        (true, true) => ("https://iam.us-gov.amazonaws.com".to_owned(), REGION_GOV),
        (true, false) => ("https://iam.amazonaws.com".to_owned(), REGION),
        (false, _) => (format!("https://{service}.{region}.amazonaws.com"), region),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iam_is_signed_for_the_region_that_it_has_and_sts_for_the_one_that_is_set() {
        let of = |region: Option<&str>, endpoint: Option<&str>| {
            let (user, region, endpoint) =
                ("u".to_owned(), region.map(str::to_owned), endpoint.map(str::to_owned));
            let at = AwsIam { user, with: None, region, endpoint };
            [IAM.0, STS.0].map(|service| {
                let (url, region) = place(&at, service);
                format!("{url} {region}")
            })
        };
        let global = "https://iam.amazonaws.com us-east-1";
        assert_eq!(of(None, None), [global, "https://sts.us-east-1.amazonaws.com us-east-1"]);
        let frankfurt = of(Some("eu-central-1"), None);
        assert_eq!(frankfurt, [global, "https://sts.eu-central-1.amazonaws.com eu-central-1"]);
        let china = of(Some("cn-northwest-1"), None);
        assert_eq!(china[0], "https://iam.cn-north-1.amazonaws.com.cn cn-north-1");
        assert_eq!(china[1], "https://sts.cn-northwest-1.amazonaws.com.cn cn-northwest-1");
        let gov = of(Some("us-gov-east-1"), None);
        assert_eq!(gov[0], "https://iam.us-gov.amazonaws.com us-gov-west-1");
        assert_eq!(gov[1], "https://sts.us-gov-east-1.amazonaws.com us-gov-east-1");
        let own = "http://127.0.0.1:5000 eu-central-1";
        assert_eq!(of(Some("eu-central-1"), Some("http://127.0.0.1:5000/")), [own, own]);
    }
}
