//! A call in the words of one target that speaks another dialect, and the way back: the target's reply, whole or as a
//! stream, in the caller's words.

use super::{Asks, DROPPED, Stream, asks::endpoint_there, dropped, listed::Listed, noted, surface};
use crate::{
    attempt::Failure,
    call::Call,
    ingress::Held,
    meter::Seen,
    refusal::Refusal,
    reply::{Answer, Gathered},
    route::Step,
    sandbox::Said,
    worker::Worker,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header};
use keyway_dialect::{
    Malformed, canon,
    codec::{self, Asked, Codec, Target, Writer, codec},
    losses::untold,
    operation,
    quirk::Quirks,
    reply::UsageScan,
};
use keyway_snapshot::{Dialect, Endpoint, ServiceTier, Surface};
use std::{rc::Rc, sync::Arc};
use ulid::Ulid;

/// One call, encoded for one target.
#[derive(Debug)]
pub(crate) struct Crossing {
    pub(super) caller: &'static dyn Codec,
    pub(super) target: &'static dyn Codec,
    to: Arc<keyway_snapshot::Target>,
    quirks: Quirks,
    pub(super) asked: Asked,
    /// Where the caller asks.
    asked_at: Endpoint,
    /// Where the target is asked.
    endpoint: Endpoint,
    /// What is asked for, where it is no conversation.
    operation: Option<Rc<operation::Request>>,
    stream: bool,
    /// The caller's stream is one JSON array.
    is_list: bool,
    body: Bytes,
    dropped: Option<HeaderValue>,
    /// The body's share of what all cores may hold.
    _held: Held,
}

/// The call with this id for this target; none where both speak one dialect, and nothing needs to be decoded. Thoughts that
/// were made elsewhere are taken out even so, since the target would refuse them; its reply passes as it comes.
///
/// # Errors
/// The target cannot serve it: what the caller gets if no other one can.
pub(crate) fn crossing(
    worker: &Worker,
    (call, id): (&Call, &Ulid),
    step: &Step,
) -> Result<Option<Box<Crossing>>, Refusal> {
    match surface(&step.target, call.dialect, (call.endpoint, call.stream)) {
        Some((own, _)) if own.dialect == call.dialect && !holds_foreign_thoughts(call) => Ok(None),
        Some(other) => {
            Crossing::new(worker, (call, id), step, other).map(|crossing| Some(Box::new(crossing)))
        }
        None => Err(Refusal::not_served(&step.target.label, call.dialect, call.endpoint)),
    }
}

fn holds_foreign_thoughts(call: &Call) -> bool {
    endpoint_there((call.dialect, call.endpoint), call.dialect).is_some()
        && canon::holds_foreign_seals(call.dialect, &call.body)
}

// === impl Crossing ===

impl Crossing {
    fn new(
        worker: &Worker,
        (call, id): (&Call, &Ulid),
        step: &Step,
        (surface, endpoint): (&Surface, Endpoint),
    ) -> Result<Self, Refusal> {
        let not_served = || Refusal::not_served(&step.target.label, call.dialect, call.endpoint);
        let (caller, target) = codec(call.dialect).zip(codec(surface.dialect)).ok_or_else(not_served)?;
        let asks = call.asks(worker)?;
        let to = Arc::clone(&step.target);
        let quirks = to.quirks(surface).clone();
        let encoded = asks
            .encode(target, &Target { provider: &to.provider.name, model: &to.model, quirks: &quirks })
            .map_err(|unsupported| Refusal::not_expressible(&unsupported, &to.label))?;
        let asked = Asked {
            id: id.to_string(),
            model: call.model().into_owned(),
            created: worker.since_epoch(call.started).as_secs(),
            include_usage: asks.include_usage(),
        };
        Ok(Self {
            caller,
            target,
            quirks,
            asked,
            asked_at: call.endpoint,
            endpoint,
            operation: asks.operation(),
            stream: call.stream && matches!(asks, Asks::Talk(_)),
            is_list: is_list(call),
            _held: call.share(worker, encoded.body.len())?,
            dropped: dropped::dropped(&encoded.lost),
            body: encoded.body,
            to,
        })
    }

    /// Whether the target speaks another dialect than the caller; else only the body is another.
    pub(crate) fn is_translated(&self) -> bool {
        self.caller.dialect() != self.target.dialect()
    }

    /// Tells the caller what the target did not get.
    pub(crate) fn name_dropped(&self, headers: &mut HeaderMap) {
        headers.extend(self.dropped.iter().map(|dropped| (DROPPED, dropped.clone())));
    }

    /// What the target speaks.
    pub(crate) fn dialect(&self) -> Dialect {
        self.target.dialect()
    }

    /// Where the target takes it.
    pub(crate) fn endpoint(&self) -> Endpoint {
        self.endpoint
    }

    /// Whether the caller is to get a stream.
    pub(crate) fn is_stream(&self) -> bool {
        self.stream
    }

    /// Whether the target may answer with a stream.
    pub(crate) fn is_conversation(&self) -> bool {
        self.operation.is_none()
    }

    /// The body for the target.
    pub(crate) fn body(&self) -> Bytes {
        self.body.clone()
    }

    fn target(&self) -> Target<'_> {
        Target { provider: &self.to.provider.name, model: &self.to.model, quirks: &self.quirks }
    }

    /// Reads the target's stream.
    pub(crate) fn reader(&self) -> Box<dyn codec::Reader> {
        self.target.reader(&self.target())
    }

    /// The target's stream as the caller's.
    pub(crate) fn open_stream(&self) -> Stream {
        Stream::new(self.reader(), self.writer(), self.asked_at, self.asked.id.clone())
    }

    fn writer(&self) -> Box<dyn Writer> {
        let writer = self.caller.writer(&self.asked);
        if self.is_list { Box::new(Listed::new(writer)) } else { writer }
    }

    /// The target's whole reply as what the caller asked for. `headers` are those that go on of those that it `came` with.
    ///
    /// # Errors
    /// It is no reply of the target's dialect.
    pub(crate) fn whole(
        &self,
        (came, headers): (&HeaderMap, HeaderMap),
        body: &[u8],
    ) -> Result<Answer, Failure> {
        let answer = match &self.operation {
            None => {
                self.target.decode_response(body, &self.target()).map(|reply| self.answer(headers, &reply))
            }
            Some(request) => self.operated((came, headers), request, body),
        };
        answer.map_err(|malformed| {
            tracing::debug!(target = &*self.to.label, %malformed, "a provider's reply cannot be read");
            Failure::broken("upstream_malformed")
        })
    }

    fn operated(
        &self,
        (came, headers): (&HeaderMap, HeaderMap),
        request: &operation::Request,
        body: &[u8],
    ) -> Result<Answer, Malformed> {
        let mut response = request.decode_response(self.dialect(), body)?;
        let service_tier = match self.endpoint {
            Endpoint::Invoke => herald(&mut response, came),
            _ => ServiceTier::Unspecified,
        };
        let body = request.encode_response(&response, &self.asked)?;
        let seen = Seen { service_tier, ..noted::operated(&response, self.asked_at) };
        Ok(self.gathered(headers, body, seen))
    }

    /// A reply as what the caller asked for: where that is a stream, each block comes in one piece.
    pub(crate) fn answer(&self, headers: HeaderMap, response: &canon::Response) -> Answer {
        let body = if self.stream {
            let (mut writer, mut out) = (self.writer(), Vec::new());
            canon::unfold(response).iter().for_each(|event| writer.write(event, &mut out));
            out.into()
        } else {
            self.caller.encode_response(response, &self.asked)
        };
        let mut answer = self.gathered(headers, body, noted::seen(response, self.asked_at));
        if let Answer::Whole { head, .. } = &mut answer
            && self.is_translated()
        {
            dropped::add_untold(&mut head.headers, untold(response, self.caller.dialect()));
        }
        answer
    }

    /// What the sandbox says as what the caller asked for.
    ///
    /// # Errors
    /// None, unless the sandbox does not speak its own dialect.
    pub(crate) fn made(&self, said: Said) -> Result<Answer, Failure> {
        let events = match said {
            Said::Whole(body) => return self.whole((&HeaderMap::new(), HeaderMap::new()), &body),
            Said::Events(events, _) => events,
        };
        let (mut stream, mut out) = (self.open_stream(), Gathered::default());
        for event in events {
            stream.push(&event, None, &mut out).map_err(Failure::broken)?;
        }
        stream.finish(None, &mut out);
        Ok(self.gathered(HeaderMap::new(), out.take(), stream.seen()))
    }

    /// An answer that is all there.
    fn gathered(&self, headers: HeaderMap, body: Bytes, seen: Seen) -> Answer {
        let mut head = self.head(headers);
        head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        Answer::Whole { head, body, seen }
    }

    /// The head of the caller's reply.
    pub(crate) fn head(&self, headers: HeaderMap) -> http::response::Parts {
        let (mut head, ()) = Response::new(()).into_parts();
        head.headers = headers;
        let kind = match self.caller.dialect() {
            Dialect::BedrockConverse if self.stream => "application/vnd.amazon.eventstream",
            _ if self.stream && !self.is_list => "text/event-stream; charset=utf-8",
            _ => "application/json",
        };
        head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        self.name_dropped(&mut head.headers);
        head
    }
}

/// Puts in what headers say that a model of Bedrock's has used, where its own words say nothing; the tier that served it.
fn herald(response: &mut operation::Response, headers: &HeaderMap) -> ServiceTier {
    let scan = UsageScan::new(Dialect::BedrockConverse, Endpoint::Invoke);
    let scan = scan.heralded(|name| headers.get(name)?.to_str().ok());
    let tier = scan.service_tier();
    response.usage = response.usage.or(scan.finish());
    tier
}

fn is_list(call: &Call) -> bool {
    let sse = || call.query.as_deref().is_some_and(|query| query.split('&').any(|pair| pair == "alt=sse"));
    call.dialect == Dialect::Gemini && call.stream && !sse()
}

#[cfg(test)]
mod tests {
    use super::{Dialect, HeaderMap, HeaderValue, herald};
    use keyway_dialect::{codec::Envelope, operation::Operation};
    use keyway_snapshot::{Meter, ServiceTier};

    #[test]
    fn headers_count_where_an_invoked_model_does_not() {
        let envelope = Envelope { model: "m", stream: false };
        let asked = br#"{"model":"m","input":"a"}"#;
        let request = Operation::Embeddings.decode_request(Dialect::OpenaiChat, asked, &envelope).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("x-amzn-bedrock-input-token-count", HeaderValue::from_static("7"));
        headers.insert("x-amzn-bedrock-service-tier", HeaderValue::from_static("priority"));
        for (body, read) in
            [(r#"{"embeddings":[[0.5]]}"#, 7), (r#"{"embedding":[0.5],"inputTextTokenCount":3}"#, 3)]
        {
            let mut response = request.decode_response(Dialect::BedrockConverse, body.as_bytes()).unwrap();
            assert_eq!(herald(&mut response, &headers), ServiceTier::Priority);
            assert_eq!(response.usage.map(|usage| usage.get(Meter::Input)), Some(read), "{body}");
        }
    }
}
