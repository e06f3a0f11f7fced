//! Random bytes from the operating system, fetched in blocks so that a nonce costs little.

use landfall_proto::Entropy;

const BLOCK: usize = 512;

/// The operating system's random source behind a buffer. Bytes are handed out once and wiped.
pub struct OsEntropy {
    buffer: [u8; BLOCK],
    used: usize,
}

impl OsEntropy {
    /// An empty buffer; the first use fills it.
    pub const fn new() -> Self {
        Self { buffer: [0; BLOCK], used: BLOCK }
    }
}

impl Default for OsEntropy {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for OsEntropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OsEntropy(..)")
    }
}

impl Entropy for OsEntropy {
    fn fill(&mut self, out: &mut [u8]) {
        let mut done = 0;
        while done < out.len() {
            if self.used == BLOCK {
                refill(&mut self.buffer);
                self.used = 0;
            }
            let n = (out.len() - done).min(BLOCK - self.used);
            let from = &mut self.buffer[self.used..self.used + n];
            out[done..done + n].copy_from_slice(from);
            from.fill(0);
            self.used += n;
            done += n;
        }
    }
}

/// Without random bytes no nonce may be made, and the operating system fails to give them only when the process was
/// started in a broken sandbox; going on would be worse than ending.
#[allow(clippy::expect_used)]
fn refill(buffer: &mut [u8]) {
    getrandom::fill(buffer).expect("the operating system gives random bytes");
}
