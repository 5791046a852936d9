//! How long requests took: counts in buckets, so that a median or a 99th percentile can be told of any sum of scopes.
//!
//! The buckets are log-linear: sixteen to each doubling. What is told of a bucket is its middle, which is at most a 32nd part
//! off, from 50 µs to 71 minutes; what took longer counts in the last bucket. Merging adds counts and is exact, in any order.
//!
//! Few buckets hold anything: only those are kept, and the first one costs no memory of its own. Rejected: t-digests and the
//! like, whose merges depend on their order; and a library of histograms, whose arrays cost kilobytes for each of ten thousand scopes.

/// Buckets to each doubling, as a power of two.
const SUB_BITS: u32 = 4;
const SUBS: u64 = 1 << SUB_BITS;
/// Below this the buckets are as wide as in the first doubling.
const LINEAR: u64 = 64;
const LINEAR_BITS: u32 = LINEAR.trailing_zeros();
const WIDTH: u64 = LINEAR / SUBS;
/// The last bucket: up to 2^32 microseconds.
const LAST: u16 = 431;

/// How many requests took how long. See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latencies {
    /// The only bucket that holds anything; of no meaning where there are `many`.
    one: (u16, u64),
    /// All that hold anything, in order, where there is more than one.
    many: Vec<(u16, u64)>,
}

fn bucket(micros: u64) -> u16 {
    let index = if micros < LINEAR {
        micros / WIDTH
    } else {
        let exponent = micros.ilog2();
        let sub = (micros >> (exponent - SUB_BITS)) & (SUBS - 1);
        SUBS + u64::from(exponent - LINEAR_BITS) * SUBS + sub
    };
    u16::try_from(index).unwrap_or(LAST).min(LAST)
}

/// The middle of a bucket.
fn middle(bucket: u16) -> u64 {
    let index = u64::from(bucket.min(LAST));
    if index < SUBS {
        return index * WIDTH + WIDTH / 2;
    }
    let (doubling, sub) = ((index - SUBS) / SUBS, (index - SUBS) % SUBS);
    let width = WIDTH << doubling;
    (SUBS + sub) * width + width / 2
}

impl Latencies {
    /// One request that took so long, in microseconds.
    pub fn add(&mut self, micros: u64) {
        self.count(bucket(micros), 1);
    }

    /// Adds another's counts; they stay at their maximum rather than wrap.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, count) in other.buckets() {
            self.count(bucket, count);
        }
    }

    fn count(&mut self, bucket: u16, count: u64) {
        if self.many.is_empty() {
            if self.one.1 == 0 || self.one.0 == bucket {
                self.one = (bucket, self.one.1.saturating_add(count));
                return;
            }
            self.many.push(std::mem::take(&mut self.one));
        }
        match self.many.binary_search_by_key(&bucket, |(bucket, _)| *bucket) {
            Ok(at) => {
                if let Some((_, known)) = self.many.get_mut(at) {
                    *known = known.saturating_add(count);
                }
            }
            Err(at) => self.many.insert(at, (bucket, count)),
        }
    }

    fn buckets(&self) -> impl Iterator<Item = (u16, u64)> {
        let one = Some(self.one).filter(|(_, count)| self.many.is_empty() && *count > 0);
        one.into_iter().chain(self.many.iter().copied())
    }

    /// How many requests were counted.
    pub fn total(&self) -> u64 {
        self.buckets().fold(0, |sum, (_, count)| sum.saturating_add(count))
    }

    /// How long so many thousandths of the requests took at most, in microseconds: 500 asks for the median. `None` where there
    /// are none.
    pub fn quantile(&self, thousandths: u32) -> Option<u64> {
        let rank = (u128::from(self.total()) * u128::from(thousandths.min(1000))).div_ceil(1000);
        let mut seen = 0_u128;
        let mut last = None;
        for (bucket, count) in self.buckets() {
            seen += u128::from(count);
            last = Some(middle(bucket));
            if seen >= rank {
                break;
            }
        }
        last
    }

    /// As bytes: of each bucket, how far it stands behind the one before, and its count, both in groups of seven bits.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(3 * self.many.len().max(1));
        let mut before = 0;
        for (bucket, count) in self.buckets() {
            push(&mut bytes, u64::from(bucket - before));
            push(&mut bytes, count);
            before = bucket;
        }
        bytes
    }

    /// From [`Latencies::to_bytes`]; `None` where the bytes are something else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut latencies = Self::default();
        latencies.merge_bytes(bytes)?;
        Some(latencies)
    }

    /// Adds the counts that stand in bytes; `None` where they are something else.
    pub fn merge_bytes(&mut self, mut bytes: &[u8]) -> Option<()> {
        let (mut before, mut is_first) = (0_u64, true);
        while !bytes.is_empty() {
            let (step, count) = (pull(&mut bytes)?, pull(&mut bytes)?);
            let bucket = before.checked_add(step)?;
            if (step == 0 && !is_first) || count == 0 || bucket > u64::from(LAST) {
                return None;
            }
            self.count(u16::try_from(bucket).ok()?, count);
            (before, is_first) = (bucket, false);
        }
        Some(())
    }
}

fn push(bytes: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        bytes.push(u8::try_from(number & 0x7f).unwrap_or_default() | 0x80);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).unwrap_or_default());
}

fn pull(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for group in 0..10 {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(first & 0x7f);
        let shifted = bits << (7 * group);
        if shifted >> (7 * group) != bits {
            return None;
        }
        number |= shifted;
        if first & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(latencies: &[u64]) -> Latencies {
        let mut all = Latencies::default();
        latencies.iter().for_each(|micros| all.add(*micros));
        all
    }

    #[test]
    fn a_bucket_tells_a_time_that_is_at_most_a_twentieth_off() {
        let mut micros = 50_u64;
        while micros < 3_600_000_000 {
            let told = of(&[micros]).quantile(500).unwrap();
            assert!(told.abs_diff(micros) * 20 <= micros, "{micros} is told as {told}");
            micros += 1 + micros / 97;
        }
        assert_eq!(bucket(u64::MAX), LAST);
        assert_eq!(bucket((1 << 32) - 1), LAST);
        assert_eq!(of(&[]).quantile(500), None);
    }

    #[test]
    fn buckets_follow_each_other_without_a_gap() {
        for bucket_before in 0..LAST {
            assert_eq!(bucket(middle(bucket_before)), bucket_before);
            assert!(middle(bucket_before) < middle(bucket_before + 1));
        }
        let mut before = 0;
        for micros in 0..100_000 {
            assert!(bucket(micros) == before || bucket(micros) == before + 1, "{micros}");
            before = bucket(micros);
        }
    }

    #[test]
    fn counts_stay_at_their_maximum() {
        let mut all = Latencies::default();
        for _ in 0..2 {
            all.merge(&Latencies { one: (7, u64::MAX - 1), many: vec![] });
        }
        all.add(1_000_000);
        assert_eq!(all.total(), u64::MAX);
        assert_eq!(Latencies::from_bytes(&all.to_bytes()), Some(all));
    }

    #[test]
    fn what_are_no_counts_is_refused() {
        for wrong in [
            &[1][..],
            &[1, 0],
            &[1, 1, 0, 1],
            &[0x80],
            &[0xff, 0xff, 3, 1],
            &[1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
        ] {
            assert_eq!(Latencies::from_bytes(wrong), None, "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn merged_in_any_order_they_are_what_one_would_have_counted(
            latencies in prop::collection::vec(0..10_000_000_u64, 0..60), cut in 0..60_usize,
        ) {
            let (some, others) = latencies.split_at(cut.min(latencies.len()));
            let (mut one, mut other) = (of(some), of(others));
            one.merge(&of(others));
            other.merge_bytes(&of(some).to_bytes()).unwrap();
            prop_assert_eq!(&one, &of(&latencies));
            prop_assert_eq!(&other, &one);
            prop_assert_eq!(one.total(), latencies.len() as u64);
            prop_assert_eq!(Latencies::from_bytes(&one.to_bytes()), Some(one));
        }

        #[test]
        fn a_quantile_is_the_one_of_the_sorted_list(
            mut latencies in prop::collection::vec(50..3_000_000_000_u64, 1..200), thousandths in 1..1001_u32,
        ) {
            let told = of(&latencies).quantile(thousandths).unwrap();
            latencies.sort_unstable();
            let rank = (latencies.len() * thousandths as usize).div_ceil(1000);
            let exact = latencies[rank - 1];
            prop_assert!(told.abs_diff(exact) * 20 <= exact, "{} is told as {}", exact, told);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Some(read) = Latencies::from_bytes(&bytes) {
                prop_assert_eq!(Latencies::from_bytes(&read.to_bytes()), Some(read));
            }
        }
    }
}
