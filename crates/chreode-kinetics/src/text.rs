//! The text of a file.

use std::io::{Error, ErrorKind};
use std::path::Path;

use crate::error::KineticsError;

/// The text of a file: UTF-8, UTF-16 if it says so by its first bytes, or Latin-1 if it is XML that says so.
pub(crate) fn read_text(path: &Path) -> Result<String, KineticsError> {
    let text = std::fs::read(path).and_then(|bytes| {
        decode(bytes).ok_or_else(|| Error::new(ErrorKind::InvalidData, "it is not UTF-8 text"))
    });
    text.map_err(|source| KineticsError::Read { path: path.into(), source })
}

fn decode(bytes: Vec<u8>) -> Option<String> {
    let pairs = |unit: fn([u8; 2]) -> u16| {
        let (units, rest) = bytes[2..].as_chunks::<2>();
        let units: Vec<u16> = units.iter().map(|&pair| unit(pair)).collect();
        if rest.is_empty() { String::from_utf16(&units).ok() } else { None }
    };
    match bytes[..] {
        [0xff, 0xfe, ..] => return pairs(u16::from_le_bytes),
        [0xfe, 0xff, ..] => return pairs(u16::from_be_bytes),
        _ => {}
    }
    String::from_utf8(bytes).or_else(|e| latin_1(e.as_bytes()).ok_or(e)).ok()
}

/// Text of XML whose declaration names an encoding in which every byte is a character.
fn latin_1(bytes: &[u8]) -> Option<String> {
    let end = bytes.windows(2).position(|pair| pair == b"?>")?;
    let declaration = std::str::from_utf8(&bytes[..end]).ok()?.to_ascii_lowercase();
    let named = declaration.split_once("encoding")?.1;
    // Ids are ASCII: where the two differ there are quotation marks of notes.
    let known = ["iso-8859-1", "latin1", "windows-1252"].iter().any(|name| named.contains(name));
    known.then(|| bytes.iter().map(|&byte| char::from(byte)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_several_encodings() {
        let text = "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a name=\"\u{e9}\"/>";
        let latin: Vec<u8> = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
        assert_eq!(decode(latin.clone()).unwrap(), text);
        assert_eq!(decode(text.as_bytes().to_vec()).unwrap(), text);
        for (mark, bytes) in
            [([0xff, 0xfe], u16::to_le_bytes as fn(u16) -> [u8; 2]), ([0xfe, 0xff], u16::to_be_bytes)]
        {
            let units = text.encode_utf16().flat_map(bytes);
            let whole: Vec<u8> = mark.into_iter().chain(units).collect();
            assert_eq!(decode(whole.clone()).unwrap(), text);
            assert_eq!(decode(whole[..whole.len() - 1].to_vec()), None);
        }
        // Nothing says what these are.
        assert_eq!(decode(latin[45..].to_vec()), None);
        assert_eq!(decode(vec![0xff]), None);
    }
}
