//! What the append script is to do: a list of numbers as `MessagePack`, which the server takes apart
//! faster than anything else.

#[derive(Default)]
pub(super) struct Plan(Vec<u64>);

impl Plan {
    pub(super) fn push(&mut self, number: usize) {
        self.0.push(number as u64);
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(5 + 3 * self.0.len());
        // No call has as many numbers as 32 bits can count.
        bytes.push(0xdd);
        bytes.extend(u32::try_from(self.0.len()).unwrap_or(u32::MAX).to_be_bytes());
        for number in &self.0 {
            if let Ok(small) = u8::try_from(*number)
                && small < 0x80
            {
                bytes.push(small);
            } else if let Ok(short) = u16::try_from(*number) {
                bytes.push(0xcd);
                bytes.extend(short.to_be_bytes());
            } else {
                bytes.push(0xcf);
                bytes.extend(number.to_be_bytes());
            }
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_short_as_they_may_be() {
        let mut plan = Plan::default();
        for number in [0, 127, 128, 65_535, 65_536, 1 << 52] {
            plan.push(number);
        }
        let expected = [
            &[0xdd, 0, 0, 0, 6, 0, 127, 0xcd, 0, 128, 0xcd, 255, 255][..],
            &[0xcf, 0, 0, 0, 0, 0, 1, 0, 0, 0xcf, 0, 16, 0, 0, 0, 0, 0, 0],
        ];
        assert_eq!(plan.encode(), expected.concat());
    }
}
