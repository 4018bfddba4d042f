//! Parallel streams of tokens for truncated back-propagation.

use super::error::Error;

/// A text cut into `batch` contiguous streams of equal length.
///
/// Every token is to be predicted from the one before it, the first one from `<eos>`. Stream
/// `b` predicts the tokens `b · length .. (b + 1) · length`; the `tokens mod batch` last tokens
/// are dropped. With one stream nothing is dropped, and the windows are the protocol of
/// evaluation: every token of the split is a target exactly once.
#[derive(Debug, Clone, Copy)]
pub struct Streams<'a> {
    ids: &'a [u32],
    eos: u32,
    batch: usize,
    length: usize,
}

/// A few steps of every stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Number of steps.
    pub steps: usize,
    /// The tokens fed, `[steps, batch]`, row by row.
    pub inputs: Vec<u32>,
    /// The tokens to predict, `[steps, batch]`, row by row.
    pub targets: Vec<u32>,
}

impl<'a> Streams<'a> {
    /// Cuts `ids` into `batch` streams.
    ///
    /// # Errors
    /// [`Error::Batch`] where `batch` is zero or larger than the number of tokens.
    pub fn new(ids: &'a [u32], eos: u32, batch: usize) -> Result<Self, Error> {
        match ids.len().checked_div(batch) {
            None | Some(0) => Err(Error::Batch { tokens: ids.len(), batch }),
            Some(length) => Ok(Self { ids, eos, batch, length }),
        }
    }

    /// Number of streams.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Steps of one pass over the streams.
    #[expect(clippy::len_without_is_empty, reason = "streams are never empty")]
    pub fn len(&self) -> usize {
        self.length
    }

    /// The steps `start .. start + steps`, fewer at the end of the streams.
    pub fn window(&self, start: usize, steps: usize) -> Window {
        let end = self.length.min(start.saturating_add(steps));
        let places = (start.min(end)..end)
            .flat_map(|step| (0..self.batch).map(move |stream| stream * self.length + step));
        let (inputs, targets) = places.map(|place| (self.before(place), self.ids[place])).unzip();
        Window { steps: end.saturating_sub(start), inputs, targets }
    }

    /// The windows of one pass, each of `steps` steps (at least one) but for the last.
    pub fn windows(self, steps: usize) -> impl Iterator<Item = Window> + 'a {
        (0..self.length).step_by(steps.max(1)).map(move |start| self.window(start, steps.max(1)))
    }

    fn before(&self, place: usize) -> u32 {
        place.checked_sub(1).map_or(self.eos, |before| self.ids[before])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Puts the windows' rows back together, one vector a stream.
    fn columns(
        windows: &[Window],
        batch: usize,
        part: impl Fn(&Window) -> &[u32],
    ) -> Vec<Vec<u32>> {
        let mut streams = vec![Vec::new(); batch];
        for row in windows.iter().flat_map(|window| part(window).chunks(batch)) {
            streams.iter_mut().zip(row).for_each(|(stream, &id)| stream.push(id));
        }
        streams
    }

    proptest! {
        #[test]
        fn windows_cover_contiguous_streams(
            ids in prop::collection::vec(0..50u32, 1..200), batch in 1..9usize, steps in 1..20usize,
        ) {
            prop_assume!(ids.len() >= batch);
            let streams = Streams::new(&ids, 7, batch).unwrap();
            let windows: Vec<_> = streams.windows(steps).collect();
            let targets = columns(&windows, batch, |window| &window.targets);
            let inputs = columns(&windows, batch, |window| &window.inputs);
            let length = ids.len() / batch;
            prop_assert_eq!(targets.concat(), &ids[..batch * length]);
            let mut fed = vec![7];
            fed.extend_from_slice(&ids[..batch * length - 1]);
            prop_assert_eq!(inputs.concat(), fed);
            prop_assert!(windows.iter().all(|w| w.steps >= 1 && w.targets.len() == w.steps * batch));
        }
    }

    #[test]
    fn evaluation_predicts_every_token_once_and_the_first_from_eos() {
        let streams = Streams::new(&[3, 1, 2], 0, 1).unwrap();
        let windows: Vec<_> = streams.windows(2).collect();
        assert_eq!(windows[0], Window { steps: 2, inputs: vec![0, 3], targets: vec![3, 1] });
        assert_eq!(windows[1], Window { steps: 1, inputs: vec![1], targets: vec![2] });
        assert_eq!(windows.len(), 2);
    }

    #[test]
    fn a_window_past_the_end_is_empty() {
        let streams = Streams::new(&[3, 1, 2], 0, 1).unwrap();
        assert_eq!(streams.window(9, 2), Window { steps: 0, inputs: vec![], targets: vec![] });
    }

    #[test]
    fn more_streams_than_tokens_are_refused() {
        for batch in [0, 4] {
            let error = Streams::new(&[1, 2, 3], 0, batch).unwrap_err();
            assert!(matches!(error, Error::Batch { tokens: 3, batch: b } if b == batch));
        }
    }
}
