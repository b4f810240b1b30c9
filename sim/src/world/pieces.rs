//! Bytes that lie in several pieces, copied together.

/// The pieces, one after the other: piece by piece and not byte by byte, since there are many bytes in a run.
pub(crate) fn join<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    pieces.for_each(|piece| bytes.extend_from_slice(piece));
    bytes
}

/// Copies `bytes` into the pieces, from the first one on, as far as they go.
pub(crate) fn spread<'a>(mut bytes: &[u8], pieces: impl Iterator<Item = &'a mut [u8]>) {
    for piece in pieces {
        let (here, rest) = bytes.split_at(bytes.len().min(piece.len()));
        piece[..here.len()].copy_from_slice(here);
        bytes = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spread_is_joined_again() {
        let mut pieces = [vec![0; 2], vec![], vec![0; 3]];
        spread(b"abcd", pieces.iter_mut().map(Vec::as_mut_slice));
        assert_eq!(join(pieces.iter().map(Vec::as_slice)), b"abcd\0");
        spread(b"more than fits", pieces.iter_mut().map(Vec::as_mut_slice));
        assert_eq!(join(pieces.iter().map(Vec::as_slice)), b"more ");
    }
}
