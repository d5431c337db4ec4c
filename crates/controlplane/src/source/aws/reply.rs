//! What is read of the XML that IAM and STS answer with: single elements without attributes. No parser of XML is needed for
//! that, and none is trusted with more.

/// Bytes of an error's code.
const CODE_LIMIT: usize = 64;

/// The text of the first element of that name, if it is plain text.
pub(super) fn value<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    let text = text.trim();
    (!text.contains(['<', '&'])).then_some(text)
}

/// The elements of a list.
pub(super) fn member_blocks(xml: &str) -> impl Iterator<Item = &str> {
    xml.split("<member>").skip(1).filter_map(|block| block.split("</member>").next())
}

/// The code of an error, which is a word of AWS's.
pub(super) fn failure(xml: &str) -> String {
    let code = value(xml, "Code").unwrap_or_default();
    let fits = code.len() <= CODE_LIMIT && code.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.');
    if fits && !code.is_empty() { code.to_owned() } else { "no code".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_elements_are_read_and_nothing_else() {
        let xml = "<R><member><Id> a </Id></member><member><Id>b</Id><X>&lt;</X></member></R>";
        let ids: Vec<_> = member_blocks(xml).filter_map(|block| value(block, "Id")).collect();
        assert_eq!((ids, value(xml, "X"), value(xml, "Y")), (vec!["a", "b"], None, None));
        assert_eq!(failure("<Error><Code>NoSuchEntity</Code></Error>"), "NoSuchEntity");
        for odd in ["", "<Code></Code>", "<Code>a b</Code>", "<Code>a"] {
            assert_eq!(failure(odd), "no code");
        }
    }
}
