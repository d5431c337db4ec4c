//! Frames are encoded once in `push`; this codec only copies them out. What replicas say is decoded as usual.

use bytes::{BufMut, Bytes};
use keyway_proto::fleet::v1::FromReplica;
use prost::Message as _;
use tonic::{
    Status,
    codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

/// Bytes of frames that are gathered before they are sent.
const GATHERED: usize = 32 * 1024;

/// Encoded frames out, messages in.
#[derive(Debug, Default)]
pub(super) struct Frames;

impl Codec for Frames {
    type Encode = Bytes;
    type Decode = FromReplica;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Frames {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, frame: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.reserve(frame.len());
        into.put(frame);
        Ok(())
    }

    /// A buffer for each frame, which is wiped when it was sent: one for many would hold keys for as long as a replica
    /// stays.
    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(0, GATHERED)
    }
}

impl Decoder for Frames {
    type Item = FromReplica;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<FromReplica>, Status> {
        FromReplica::decode(from).map(Some).map_err(|e| Status::invalid_argument(e.to_string()))
    }
}
